"""What a site does with a connected mailbox: it reads the newest messages by IMAP, and sends one by SMTP."""

from __future__ import annotations

import imaplib
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

from django.core.mail import EmailMessage

from example_project.headers import moment_in, sender_in, text_in
from mail_oauth.exceptions import MailboxError
from mail_oauth.models import MailCredentials

MOST = 20
_FIELDS = "(BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])"


class MailFailed(Exception):
    """Mail could not be read or sent; the message says why, to whoever wanted it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A message as a list shows it; all of it is plain text that somebody else has written."""

    sender: str
    address: str
    subject: str
    sent: datetime | None


def newest(mailbox: MailCredentials, most: int = MOST) -> list[Letter]:
    """Return the newest messages, newest first. Raises `MailFailed`."""
    with told(), mailbox.imap() as imap:
        count = int(done(imap.select("INBOX", readonly=True))[0] or 0)
        if count == 0:
            return []
        parts = done(imap.fetch(f"{max(count - most, 0) + 1}:{count}", _FIELDS))
    return [_letter(part[1]) for part in reversed(parts) if isinstance(part, tuple)]


def send(mailbox: MailCredentials, *, to: str, subject: str, text: str) -> None:
    """Send a message from the mailbox. Raises `MailFailed`."""
    message = EmailMessage(subject, text, from_email=mailbox.email, to=[to])
    with told():
        mailbox.email_connection().send_messages([message])


@contextmanager
def told() -> Iterator[None]:
    """Say what went wrong in words for a page. A `MailboxError` says what to do; a server's own words stay out."""
    try:
        yield
    except MailboxError as error:
        raise MailFailed(str(error)) from error
    except smtplib.SMTPRecipientsRefused as error:
        raise MailFailed("The mail server does not take mail for this recipient.") from error
    except (smtplib.SMTPException, imaplib.IMAP4.error, OSError) as error:
        raise MailFailed("The mail server broke off. Try again in a moment.") from error


def done(answer: tuple[str, Any]) -> list[Any]:
    """Return what an IMAP command gave. Raises imaplib's error for a NO."""
    status, lines = answer
    if status != "OK":
        raise imaplib.IMAP4.error(status)
    return list(lines)


def _letter(header: bytes) -> Letter:
    fields: Message = BytesHeaderParser().parsebytes(header)
    sender, address = sender_in(fields["From"])
    return Letter(
        sender=sender,
        address=address,
        subject=text_in(fields["Subject"]),
        sent=moment_in(fields["Date"]),
    )
