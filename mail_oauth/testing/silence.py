"""Keeps oauthlib's server side, and aiosmtpd, from logging the tokens that pass through the fake provider.

At DEBUG, oauthlib writes codes, refresh tokens and whole token replies into its log records, aiosmtpd what it hears.
A site's test that searches its own logs for tokens must not find those of the fake. Only records made while the
fake answers are dropped; the client side in the same process logs as ever.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_AIOSMTPD = "mail.log"

_serving: ContextVar[bool] = ContextVar("mail_oauth_testing_serving", default=False)


class _WhileNotServing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _serving.get()


_FILTER = _WhileNotServing()


def install() -> None:
    """Attach the filter to each of their loggers: a logger's filter does not reach its children."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "oauthlib" or name == _AIOSMTPD:
            logging.getLogger(name).addFilter(_FILTER)


@contextmanager
def serving() -> Iterator[None]:
    """While open, their log records from this thread or task are dropped."""
    token = _serving.set(True)
    try:
        yield
    finally:
        _serving.reset(token)
