"""Keeping secrets out of logs.

requests-oauthlib writes whole request bodies and replies at DEBUG level. The arguments of its records are
hidden from the moment that the transport is imported, whatever the site's logging configuration; what they
say about the flow itself stays.
"""

from __future__ import annotations

import logging
from types import FunctionType, MethodType

NOISY_LOGGERS = ("requests_oauthlib.oauth2_session",)
_PLAIN = (int, float, bool, type(None), FunctionType, MethodType)


class HideArguments(logging.Filter):
    """Replace every argument of a record that may carry text from a request or a reply."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without its arguments' contents."""
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        if record.args:
            record.args = tuple(item if isinstance(item, _PLAIN) else "[hidden]" for item in arguments)
        return True


def hide_secrets_in_logs() -> None:
    """Attach the filter to the loggers that would show secrets; calling it again changes nothing."""
    for name in NOISY_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(existing, HideArguments) for existing in logger.filters):
            logger.addFilter(HideArguments())
