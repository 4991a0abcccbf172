"""One mailbox as a connection of Django's mail: its SMTP backend, signed in with a token."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from mail_oauth.exceptions import MailboxError, SignInRefused
from mail_oauth.mailbox.grants import Sender
from mail_oauth.mailbox.http import HttpConnection
from mail_oauth.mailbox.refusals import Fault
from mail_oauth.mailbox.sessions import Session
from mail_oauth.mailbox.wires import SMTP

logger = logging.getLogger(__name__)


class MailboxConnection(EmailBackend):
    """Sends through one mailbox. Each opening asks for a token that is valid then.

    What Django's backend does with messages, addresses and errors, it does; a `MailboxError` counts as an error of
    sending, and with `fail_silently` is logged.
    """

    def __init__(
        self,
        grant: Sender,
        *,
        user: str = "",
        timeout: float | None = None,
        fail_silently: bool = False,
        may_switch: bool = False,
        alias: str | None = None,
    ) -> None:
        """Mean the mailbox `user` (see `Session`); with `may_switch`, send over HTTP where SMTP is switched off."""
        self._over_http = partial(HttpConnection, grant, user=user, timeout=timeout, fail_silently=fail_silently)
        self._may_switch = may_switch
        self._http: HttpConnection | None = None
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
        if self._http is not None or (
            connection is not None and connection.sock is not None
        ):  # else it has hung up
            return False
        try:
            self.connection = self._session.open()
        except MailboxError as error:
            if self._may_switch and isinstance(error, SignInRefused) and error.reason == Fault.SWITCHED_OFF.value:
                self._http = self._over_http()
                return True
            if not self.fail_silently:
                raise
            logger.warning(
                "mail is not sent: %s", error, extra={"action": "mail_not_sent", "reason": error.reason}
            )
            return None
        return True

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send, and return how many messages a server took."""
        if not email_messages:
            return 0
        newly = self.open()
        if newly is None:
            return 0
        try:
            if self._http is not None:
                return self._http.send_messages(email_messages)
            return super().send_messages(email_messages) or 0
        finally:
            if newly:
                self.close()

    def __getstate__(self) -> Any:
        raise TypeError("A connection cannot be pickled: send the primary key of its mailbox instead.")
