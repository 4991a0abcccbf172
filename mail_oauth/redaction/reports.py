"""Django's report of a crash, on the debug page and in mails to admins, without what looks like a secret.

For sites: ``DEFAULT_EXCEPTION_REPORTER = "mail_oauth.redaction.reports.ScrubbedExceptionReporter"``. What fails
within this app shows no secret by itself. But a site's middleware may fail before the callback's view has taken the
query out of the request, and a site's own code may hold a token in a local.
"""

from __future__ import annotations

from typing import Any

from django.utils.encoding import iri_to_uri
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter

from mail_oauth.frames import keeps_locals_in
from mail_oauth.redaction.requests import without_query
from mail_oauth.redaction.text import HIDDEN, scrub
from mail_oauth.tokens import Secret


class ScrubbedExceptionReporter(ExceptionReporter):
    """Django's own, scrubbed, with the request's query shown in part."""

    def __init__(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Report a copy of the request: where nothing but a line of the log is reported, it still has to be answered."""
        self._query = Secret("")
        if request is not None:
            request, self._query = without_query(request)
        super().__init__(request, *args, **kwargs)

    def get_traceback_html(self) -> SafeString:
        """Return the page."""
        return self._scrubbed(super().get_traceback_html())

    def get_traceback_text(self) -> SafeString:
        """Return the text."""
        return self._scrubbed(super().get_traceback_text())

    @keeps_locals_in
    def _scrubbed(self, text: str) -> SafeString:
        raw = self._query.reveal()
        if raw:  # the request itself is among the locals of frames, with its URL, as Django writes it
            for shown in {raw, iri_to_uri(raw), escape(raw), escape(iri_to_uri(raw))}:
                text = text.replace(f"?{shown}", f"?{HIDDEN}")
        return mark_safe(scrub(text))  # noqa: S308  # Django has escaped it, and nothing is put in but HIDDEN
