"""What a mail server's refusal of a sign-in means: who must act, and whether a new token may help. Pure functions.

A refusal never proves that a grant is dead: only the provider's token endpoint says that.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from mail_oauth.mailbox.sasl import error_status


class Fault(Enum):
    """Why somebody was not signed in."""

    TOKEN = "refused"  # noqa: S105  # a code
    """The token is refused, or the name: the only one for which a new token is a remedy."""
    SCOPE = "scope"
    """The grant does not cover the protocol."""
    MAILBOX = "mailbox"
    """Whoever signed in may not open this mailbox, or it does not exist."""
    SWITCHED_OFF = "switched_off"
    """The protocol is switched off for the mailbox or its organisation."""
    NO_MECHANISM = "no_mechanism"
    """The server takes no token in any way that the provider is known for."""
    UNAVAILABLE = "unavailable"
    """The server cannot tell now."""


class Refusal(NamedTuple):
    """A fault, and the server's own code for it: a word, never its sentence."""

    fault: Fault
    code: str = ""


class Refused(Exception):  # an answer, which its caller judges
    """A server refused a sign-in."""

    def __init__(self, refusal: Refusal) -> None:
        """Say why."""
        super().__init__(f"{refusal.fault.value} {refusal.code}".rstrip())
        self.refusal = refusal


_IMAP_CODE = re.compile(r"\s*\[([A-Z][A-Z-]{1,30})[ \]]")
_POP_CODE = re.compile(r"\s*\[([A-Z][A-Z/-]{1,30})\]")
_ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")

_BY_CODE = {
    # RFC 5530 §3
    "UNAVAILABLE": Fault.UNAVAILABLE,
    "INUSE": Fault.UNAVAILABLE,
    "LIMIT": Fault.UNAVAILABLE,
    "SERVERBUG": Fault.UNAVAILABLE,
    "AUTHORIZATIONFAILED": Fault.MAILBOX,
    "CONTACTADMIN": Fault.SWITCHED_OFF,
    "PRIVACYREQUIRED": Fault.SWITCHED_OFF,
    # RFC 3206 §4, RFC 2449 §8.1
    "SYS/TEMP": Fault.UNAVAILABLE,
    "IN-USE": Fault.UNAVAILABLE,
    "LOGIN-DELAY": Fault.UNAVAILABLE,
    "SYS/PERM": Fault.SWITCHED_OFF,
}
_BY_WORDS = (
    # Google: "Too many simultaneous connections. (Failure)", "Too many login attempts".
    (re.compile("too many|try again later|temporar", re.IGNORECASE), Fault.UNAVAILABLE),
    # Microsoft: "SmtpClientAuthentication is disabled for the Tenant", "did not meet the criteria to be authenticated";
    # Google: "Your account is not enabled for IMAP use".
    (re.compile("is disabled|not enabled|not meet the criteria|turned off", re.IGNORECASE), Fault.SWITCHED_OFF),
    # Microsoft, after a sign-in to a mailbox that is not there or not the user's.
    (re.compile("authenticated but not connected", re.IGNORECASE), Fault.MAILBOX),
)


def imap_refusal(text: str, challenge: bytes = b"") -> Refusal:
    """Judge what an IMAP server said after NO or BAD, and the error that it sent before."""
    return _judged(_first(_IMAP_CODE, text), text, challenge)


def pop_refusal(text: str, challenge: bytes = b"") -> Refusal:
    """Judge what a POP server said after -ERR."""
    return _judged(_first(_POP_CODE, text), text, challenge)


def smtp_refusal(reply: int, text: str, challenge: bytes = b"") -> Refusal:
    """Judge an SMTP reply (RFC 4954 §6): of the codes, those that begin with 4 are for now."""
    enhanced = _ENHANCED.search(text)
    code = f"{reply} {enhanced[0]}" if enhanced else str(reply)
    if 400 <= reply < 500 or reply < 0:
        return Refusal(Fault.UNAVAILABLE, code)
    return Refusal(_judged("", text, challenge).fault, code)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.match(text.upper())
    return found[1] if found else ""


def _judged(code: str, text: str, challenge: bytes) -> Refusal:
    status = error_status(challenge)
    if code in _BY_CODE:
        return Refusal(_BY_CODE[code], code)
    for words, fault in _BY_WORDS:
        if words.search(text):
            return Refusal(fault, code)
    if status == "insufficient_scope":  # RFC 6750 §3.1
        return Refusal(Fault.SCOPE, status)
    if status.startswith("5"):  # Google's own trouble, as an HTTP status
        return Refusal(Fault.UNAVAILABLE, status)
    return Refusal(Fault.TOKEN, code or status)
