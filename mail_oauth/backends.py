"""Django's mail through connected mailboxes: `EMAIL_BACKEND = "mail_oauth.backends.EmailBackend"`.

From Django 6.1 on: `MAILERS = {"default": {"BACKEND": "mail_oauth.backends.EmailBackend", "OPTIONS": {…}}}`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import Q

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, MailboxDisconnected, MailboxError
from mail_oauth.mailbox.http import HttpConnection
from mail_oauth.mailbox.outgoing import MailboxConnection
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials

logger = logging.getLogger(__name__)


_ADDED = Q(access__in=[Access.OWN, Access.SHARED])
"""Mailboxes that staff have added: their addresses are nobody's to feign."""


class EmailBackend(BaseEmailBackend):
    """Sends each message through a mailbox: the one that is named, else that of `from_email`, else the default one.

    By `from_email` only a mailbox of `user` is chosen (`SENDING_USER` unless told), and none where neither says whose:
    otherwise a form whose visitors write `from_email` would send from anyone's mailbox. An address that the site itself
    names means, where neither says whose, a mailbox whose address the provider has verified, or that staff have added:
    otherwise whoever types in the site's address, or gives it to an account of a tenant of their own, would be handed the
    site's mail. One connection to each mailbox serves a call of `send_messages`, or a `with` block.
    """

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        mailbox: MailCredentials | UUID | str | None = None,
        user: Any = None,
        timeout: float | None = None,
        username: str | None = None,
        password: str | None = None,
        alias: str | None = None,
        **options: Any,
    ) -> None:
        """Send as `mailbox`: a row, its primary key, or an address; `username` is another name for the address.

        By an address, and by that of a message, choose among the mailboxes of `user`, a user or their name. A server may
        be silent for `timeout` seconds within one answer (`MAIL_TIMEOUT` unless told). Raises `ConfigurationError` for a
        password.
        """
        if password:
            raise ConfigurationError("mail_oauth signs in with tokens: leave the password out.")
        super().__init__(alias=alias, **options)
        self.fail_silently = fail_silently
        self._mailbox = mailbox or username
        self._user = user
        self._timeout = timeout
        self._connections: dict[UUID, MailboxConnection | HttpConnection] = {}
        self._kept_open = False

    def open(self) -> bool:
        """Keep the connections that will be made until `close`."""
        newly, self._kept_open = not self._kept_open, True
        return newly

    def close(self) -> None:
        """Close every connection."""
        self._kept_open = False
        while self._connections:
            self._connections.popitem()[1].close()

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send, and return how many messages a server took.

        The first that cannot be sent ends it with its error, a `MailboxError` or smtplib's, unless `fail_silently`.
        """
        try:
            return sum(self._sent(message) for message in email_messages)
        finally:
            if not self._kept_open:
                self.close()

    def _sent(self, message: EmailMessage) -> int:
        if not message.recipients():
            return 0
        try:
            mailbox = self._mailbox_for(message)
        except MailboxError as error:
            if not self.fail_silently:
                raise
            logger.warning(
                "mail is not sent: %s", error, extra={"action": "mail_not_sent", "reason": error.reason}
            )
            return 0
        connection = self._connections.get(mailbox.pk)
        if connection is None:
            connection = mailbox.email_connection(timeout=self._timeout, fail_silently=self.fail_silently)
            self._connections[mailbox.pk] = connection
        if connection.open() is None:
            return 0
        return connection.send_messages([message]) or 0

    def _mailbox_for(self, message: EmailMessage) -> MailCredentials:
        """Return the mailbox to send through. Raises `MailboxDisconnected` where there is none."""
        named = self._mailbox
        if isinstance(named, MailCredentials):
            return named
        if named is not None:
            return self._named(named)
        address = parseaddr(message.from_email)[1]
        found = self._of_address(address) if self._owner else None
        default = app_settings().default_mailbox
        if found is None and default:
            return self._named(default)
        return found or self._none(address)

    @property
    def _owner(self) -> Any:
        """Whose mailboxes an address may choose, a user or their name; falsy where nobody says."""
        return self._user or app_settings().sending_user

    def _named(self, name: UUID | str) -> MailCredentials:
        pk = _uuid(name)
        if pk is None:
            return self._of_address(str(name)) or self._none(str(name))
        found = MailCredentials.objects.without_tokens().filter(pk=pk).first()
        return found or self._none(str(pk))

    def _of_address(self, address: str) -> MailCredentials | None:
        """Return the mailbox of an address, one that can be used before others; a verified one where nobody says whose."""
        name, at, domain = address.rpartition("@")
        rows = MailCredentials.objects.without_tokens().filter(email__in={address, f"{name}{at}{domain.lower()}"})
        user = self._owner
        if not user:
            rows = rows.filter(Q(email_verified=True) | _ADDED)
        elif isinstance(user, str):
            rows = rows.filter(**{f"user__{get_user_model().USERNAME_FIELD}": user})
        else:
            rows = rows.filter(user=user)
        return min(rows.order_by("-last_used_at", "pk"), key=lambda row: not row.is_connected, default=None)

    @staticmethod
    def _none(name: str) -> MailCredentials:
        raise MailboxDisconnected(
            f"No mailbox that mail may be sent through is connected as {name}: connect it, name another by `mailbox` or "
            'MAIL_OAUTH["DEFAULT_MAILBOX"], or write `user` or MAIL_OAUTH["SENDING_USER"], the user whose mailboxes a '
            "message's from_email may choose.",
            reason="no_mailbox",
        )


def _uuid(name: UUID | str) -> UUID | None:
    if isinstance(name, UUID):
        return name
    try:
        return UUID(name)
    except ValueError:
        return None
