"""How a mailbox's mail is reached: signed-in connections, and Django's mail through it."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from typing import TYPE_CHECKING

from mail_oauth.mailbox.grants import Sender
from mail_oauth.mailbox.http import HttpConnection
from mail_oauth.mailbox.outgoing import MailboxConnection
from mail_oauth.mailbox.sessions import Session
from mail_oauth.mailbox.wires import IMAP, POP, SMTP
from mail_oauth.providers import provider_for

if TYPE_CHECKING:
    from imapclient import IMAPClient


class OpensMail:
    """What `MailCredentials` does with its tokens."""

    def imap(self: Sender, *, user: str = "", timeout: float | None = None) -> Session[imaplib.IMAP4]:
        """Return a way to the mailbox by IMAP: `with mailbox.imap() as client:` gives an `imaplib.IMAP4`, signed in.

        `user` is the mailbox to open, `email` unless told: for a shared one its own address, which the token of the
        person who may open it unlocks. Within one answer the server may be silent for `timeout` seconds
        (`MAIL_TIMEOUT`). Entering raises a `MailboxError`, such as `SignInRefused`, which says what to do.
        """
        return Session(IMAP, self, user=user, timeout=timeout)

    def pop(self: Sender, *, user: str = "", timeout: float | None = None) -> Session[poplib.POP3]:
        """The same by POP: a `poplib.POP3`. Messages are deleted when the block ends, unless an error ended it."""
        return Session(POP, self, user=user, timeout=timeout)

    def smtp(self: Sender, *, user: str = "", timeout: float | None = None) -> Session[smtplib.SMTP]:
        """The same for sending: an `smtplib.SMTP`."""
        return Session(SMTP, self, user=user, timeout=timeout)

    def imap_client(self: Sender, *, user: str = "", timeout: float | None = None) -> IMAPClient:
        """Return an `IMAPClient`, signed in; leave it by its own `with` block, or log out.

        Needs `pip install 'mail-oauth[imapclient]'`. Raises as `imap` does.
        """
        from mail_oauth.mailbox.imapclients import SignedInClient  # noqa: PLC0415  # an extra

        session = Session(IMAP, self, user=user, timeout=timeout)
        return SignedInClient(session.open(), session.timeout)

    def email_connection(
        self: Sender, *, user: str = "", timeout: float | None = None, fail_silently: bool = False
    ) -> MailboxConnection | HttpConnection:
        """Return a connection of Django's mail: `mailbox.email_connection().send_messages([message])`.

        By SMTP, or as the provider's option `SENDING` says.
        """
        sending = provider_for(self.provider).setting("SENDING")
        if sending == "http":
            return HttpConnection(self, user=user, timeout=timeout, fail_silently=fail_silently)
        may_switch = sending == "auto"
        return MailboxConnection(
            self, user=user, timeout=timeout, fail_silently=fail_silently, may_switch=may_switch
        )
