"""What a trial does once it is signed in: look into the mailbox, or send a message from it to itself."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.mail import EmailMessage
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mail_oauth.exceptions import MailServerError, MailServerUnavailable
from mail_oauth.mailbox.refusals import Fault, Refusal, imap_refusal, pop_refusal, smtp_refusal
from mail_oauth.mailbox.sessions import Session
from mail_oauth.mailbox.wires import readable

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_NOT_OPENED = gettext_lazy("{host} does not open {user} by {protocol}")
_NOT_TAKEN = gettext_lazy("{host} does not take a message from {user} to itself by {protocol}")

_NO_SENDER = ("5.7.60", "5.2.252")
"""Microsoft: who signed in has no permission to send as this address (Exchange Online's list of NDR codes)."""


def looked_by_imap(session: Session[imaplib.IMAP4], client: imaplib.IMAP4) -> str:
    """Count folders, and messages in INBOX, which stays as it is.

    At Microsoft it is here that one hears of a mailbox that is not there, or not the user's: "User is authenticated
    but not connected".
    """
    with session.in_time():
        folders = [each for each in _answered(session, client.list) if _begins_an_answer(each)]
        [number] = _answered(session, lambda: client.select("INBOX", readonly=True))[:1]
        messages = _number(number)
    counted = ngettext("%(number)d folder", "%(number)d folders", len(folders)) % {"number": len(folders)}
    inbox = ngettext("%(number)d message in INBOX", "%(number)d messages in INBOX", messages) % {
        "number": messages
    }
    return _("%(folders)s, %(messages)s") % {"folders": counted, "messages": inbox}


def _answered(session: Session[imaplib.IMAP4], command: Callable[[], tuple[str, Any]]) -> list[Any]:
    """Return the data of an answer. Raises what a NO or BAD means."""
    try:
        with readable():
            status, data = command()
    except imaplib.IMAP4.abort:  # the line broke
        raise
    except imaplib.IMAP4.error as error:
        raise _unopened(session, imap_refusal(str(error))) from None
    if status == "OK":
        return list(data)
    text = data[0].decode("utf-8", "replace") if data and isinstance(data[0], bytes) else ""
    raise _unopened(session, imap_refusal(text))


def _begins_an_answer(part: Any) -> bool:
    """Tell whether it is a folder; imaplib breaks the answer for one whose name is a literal into two parts."""
    return isinstance(part, tuple) or (isinstance(part, bytes) and part.startswith(b"("))


def looked_by_pop(session: Session[poplib.POP3], client: poplib.POP3) -> str:
    """Count messages."""
    with session.in_time():
        try:
            number, size = client.stat()
        except poplib.error_proto as error:
            text = error.args[0] if error.args else b""
            told = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
            raise _unopened(session, pop_refusal(told.removeprefix("-ERR"))) from None
        except (ValueError, IndexError):
            raise ConnectionError("There are no two numbers.") from None
    messages = ngettext("%(number)d message", "%(number)d messages", number) % {"number": number}
    octets = ngettext("%(number)d byte", "%(number)d bytes", size) % {"number": size}
    return _("%(messages)s, %(bytes)s") % {"messages": messages, "bytes": octets}


def _unopened(session: Session[Any], refusal: Refusal) -> MailServerError:
    """Return the error for who is signed in and may not look: the token is good, whatever else is wrong."""
    fault = Fault.MAILBOX if refusal.fault is Fault.TOKEN else refusal.fault
    return session.error_for(Refusal(fault, refusal.code), _NOT_OPENED)


def sent_to_itself(session: Session[smtplib.SMTP], client: smtplib.SMTP) -> str:
    """Send a message from the mailbox to itself."""
    user = session.user
    text = _(
        "This message was sent from this mailbox to itself, to see whether mail can be sent through it. You need not do "
        "anything, and may delete it."
    )
    message = EmailMessage(_("Test message"), text, from_email=user, to=[user]).message()
    with session.in_time():
        try:
            client.send_message(message, user, [user])
        except smtplib.SMTPRecipientsRefused as error:
            raise _untaken(session, *error.recipients[user]) from None
        except smtplib.SMTPResponseException as error:
            raise _untaken(session, error.smtp_code, error.smtp_error) from None
        except smtplib.SMTPNotSupportedError:  # an address beyond ASCII, where the server has no SMTPUTF8
            raise _untaken(session, 553, b"5.6.7") from None  # RFC 6531 §3.5
    return _("a message to %(user)s was taken") % {"user": user}


def _untaken(session: Session[smtplib.SMTP], reply: int, text: bytes | str) -> MailServerError:
    """Return the error for a message that the server does not take."""
    refusal = smtp_refusal(reply, text if isinstance(text, str) else text.decode("utf-8", "replace"))
    host = session.server.host
    about = {"protocol": "SMTP", "host": host, "code": refusal.code}
    if refusal.fault is Fault.UNAVAILABLE:
        return MailServerUnavailable(_untaken_for(refusal, session, _LATER), reason="unavailable", **about)
    if refusal.fault is not Fault.TOKEN:
        return session.error_for(refusal, _NOT_TAKEN)
    advice = _NO_SENDING_AS if refusal.code.endswith(_NO_SENDER) else _LOOK_UP
    return MailServerError(_untaken_for(refusal, session, advice), reason="not_taken", **about)


_LATER = gettext_lazy("try again later.")
_NO_SENDING_AS = gettext_lazy(
    "whoever connected it may not send as {user}. Its owner or an administrator must allow it."
)
_LOOK_UP = gettext_lazy(
    "look for this code in the provider's documentation: a limit or a rule of the organisation, say."
)


def _untaken_for(refusal: Refusal, session: Session[smtplib.SMTP], advice: _StrOrPromise) -> _StrOrPromise:
    host, user = session.server.host, session.user
    told = gettext_lazy("{host} does not take a message from {user} to itself ({code}): {advice}")
    return format_lazy(told, host=host, user=user, code=refusal.code, advice=format_lazy(advice, user=user))


def _number(told: bytes | None) -> int:
    try:
        return int(told or 0)
    except ValueError:
        raise ConnectionError("It is no number.") from None
