"""Keeping secrets out of logs, pages and reports.

`scrub` knows what secrets of OAuth look like in a text; `RedactSecrets` is the same as a filter for a site's logging.
"""

from mail_oauth.redaction.logs import RedactSecrets, hide_secrets_in_logs
from mail_oauth.redaction.text import HIDDEN, scrub

__all__ = ["HIDDEN", "RedactSecrets", "hide_secrets_in_logs", "scrub"]
