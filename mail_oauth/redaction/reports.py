"""Django's report of a crash, on the debug page and in mails to admins, without what looks like a secret.

For sites: ``DEFAULT_EXCEPTION_REPORTER = "mail_oauth.redaction.reports.ScrubbedExceptionReporter"``. What fails
within this app shows no secret by itself. But a site's middleware may fail before the callback's view has taken the
query out of the request, and a site's own code may hold a token in a local.
"""

from __future__ import annotations

from typing import Any

from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter

from mail_oauth.redaction.requests import take_query
from mail_oauth.redaction.text import scrub


class ScrubbedExceptionReporter(ExceptionReporter):
    """Django's own, scrubbed, with the request's query shown in part."""

    def __init__(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Take the query out of the request, which has failed and needs it no more."""
        if request is not None:
            take_query(request)
        super().__init__(request, *args, **kwargs)

    def get_traceback_html(self) -> SafeString:
        """Return the page."""
        return _scrubbed(super().get_traceback_html())

    def get_traceback_text(self) -> SafeString:
        """Return the text."""
        return _scrubbed(super().get_traceback_text())


def _scrubbed(text: str) -> SafeString:
    return mark_safe(scrub(text))  # noqa: S308  # Django has escaped it, and nothing is put in but HIDDEN
