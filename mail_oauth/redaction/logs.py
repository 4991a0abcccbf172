"""Filters that keep secrets out of log records, and the loggers of others that need one.

requests-oauthlib writes whole request bodies and replies at DEBUG level, and Django's development server the
request line of the callback, with its code. Both are seen to from the moment that this app is loaded, whatever the
site's logging configuration.
"""

from __future__ import annotations

import logging
from types import FunctionType, MethodType

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from mail_oauth.redaction.requests import take_query
from mail_oauth.redaction.text import scrub

_PLAIN = (int, float, bool, type(None), FunctionType, MethodType)
_OWN = frozenset(vars(logging.makeLogRecord({})))
_tracebacks = logging.Formatter()


class HideArguments(logging.Filter):
    """Replace every argument of a record that may carry text from a request or a reply."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without its arguments' contents."""
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        if record.args:
            record.args = tuple(item if isinstance(item, _PLAIN) else "[hidden]" for item in arguments)
        return True


class RedactSecrets(logging.Filter):
    """Scrub a record's message, its extras, and what is printed of its error and stack.

    For the handlers of a site (see the README); a filter of a logger is not asked for its children's records.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without what looks like a secret."""
        said = _message(record)
        if (clean := scrub(said)) != said:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text and record.exc_info[1] is not None:
            record.exc_text = _tracebacks.formatException(record.exc_info)
        for name, value in vars(record).items():
            if isinstance(value, str) and (name not in _OWN or name in {"exc_text", "stack_info"}):
                setattr(record, name, scrub(value))
        return True


class TakesQuery(logging.Filter):
    """Take the query of the callback out of a request that Django refuses before the view has it.

    For its Host, or because a provider sends users to a path that is nearly right.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass; whatever is shown of its request from then on, the record or a page, is without it."""
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest) and request.path.startswith(_callbacks()):
            take_query(request)
        return True


def _callbacks() -> str:
    """Return what the paths of all callbacks begin with; what none does where the site has no such pages."""
    try:
        return reverse("mail_oauth:callback", args=["x"]).removesuffix("x/")
    except NoReverseMatch:
        return "none"


def _message(record: logging.LogRecord) -> str:
    """Return a record's message; its template where the arguments do not fit, of which its handler will tell."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # whatever an argument's __str__ raises
        return str(record.msg)


FILTERS: dict[str, type[logging.Filter]] = {
    "requests_oauthlib.oauth2_session": HideArguments,
    "django.server": RedactSecrets,
    "django.request": TakesQuery,
    "django.security.DisallowedHost": TakesQuery,
    "urllib3.connectionpool": RedactSecrets,
}
"""Loggers of others that show secrets, or would in a site's hands, and the filter that each is given."""


def hide_secrets_in_logs() -> None:
    """Attach the filters; calling it again changes nothing."""
    for name, kind in FILTERS.items():
        logger = logging.getLogger(name)
        if not any(isinstance(existing, kind) for existing in logger.filters):
            logger.addFilter(kind())
