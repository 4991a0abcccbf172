"""One mailbox as a connection of Django's mail: its SMTP backend, signed in with a token."""

from __future__ import annotations

import logging
import smtplib
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from mail_oauth.exceptions import MailboxError
from mail_oauth.mailbox.sessions import Grant, Session
from mail_oauth.mailbox.wires import SMTP

logger = logging.getLogger(__name__)


class MailboxConnection(EmailBackend):
    """Sends through one mailbox. Each opening asks for a token that is valid then.

    What Django's backend does with messages, addresses and errors, it does; a `MailboxError` counts as an error of
    sending, and with `fail_silently` is logged.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        user: str = "",
        timeout: float | None = None,
        fail_silently: bool = False,
        alias: str | None = None,
    ) -> None:
        """Mean the mailbox `user` (see `Session`)."""
        self._session = Session(SMTP, grant, user=user, timeout=timeout)
        super().__init__(
            host=grant.provider,  # where it leads, the session knows
            port=1,
            username="",
            password="",  # there is none
            use_tls=False,
            use_ssl=False,
            fail_silently=fail_silently,
            alias=alias or "mail_oauth",
        )

    def open(self) -> bool | None:
        """Sign in, unless it has been done; None where that failed and `fail_silently` is set.

        Raises a `MailboxError`.
        """
        connection: smtplib.SMTP | None = self.connection
        if connection is not None and connection.sock is not None:  # else the server has hung up
            return False
        try:
            self.connection = self._session.open()
        except MailboxError as error:
            if not self.fail_silently:
                raise
            logger.warning("mail is not sent: %s", error)
            return None
        return True

    def __getstate__(self) -> Any:
        raise TypeError("A connection cannot be pickled: send the primary key of its mailbox instead.")
