"""What lies in a new mailbox of the demo: some mail to look at, not all of it well-meant."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Final

_LETTERS: Final = (
    (26, Address("Mail team", "welcome", "example.com"), "Welcome to your mailbox", "It lives in memory."),
    (5, Address("Zoë Müller", "zoe", "example.net"), "Grüße aus Köln 🌧", "Es regnet."),
    (1, Address("<b>Mallory</b>", "mallory", "example.org"), "<script>alert('hello')</script>", "Only text."),
)


def letters(address: str) -> Iterator[bytes]:
    """The first messages for an address, oldest first; each was written some hours ago."""
    now = datetime.now(UTC)
    for hours, sender, subject, text in _LETTERS:
        message = EmailMessage(policy=policy.SMTP)
        message["From"] = sender
        message["To"] = address
        message["Subject"] = subject
        message["Date"] = format_datetime(now - timedelta(hours=hours))
        message["Message-ID"] = make_msgid(domain=sender.domain)
        message.set_content(text)
        yield message.as_bytes()


def nothing(_address: str) -> tuple[bytes, ...]:
    """An empty mailbox."""
    return ()
