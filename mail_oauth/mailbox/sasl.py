"""SASL with access tokens, as pure functions: frames, the mechanism to use, and what a refused one is told.

XOAUTH2 is Google's and Microsoft's own; OAUTHBEARER is RFC 7628. In both, a server that refuses a token first sends
an error as a challenge, and waits: who does not answer it never hears the refusal.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret

XOAUTH2 = "XOAUTH2"
OAUTHBEARER = "OAUTHBEARER"
MECHANISMS = (XOAUTH2, OAUTHBEARER)
"""Those that this app speaks."""

_LONGEST_CHALLENGE = 4096
_LONGEST_WORD = 64


@keeps_locals_in
def initial_response(mechanism: str, user: str, token: Secret, *, host: str, port: int) -> bytes:
    """Return the first message of a mechanism, before base64: who signs in where, and with which token.

    Raises `ValueError` for a user name, a host or a token that can be no field, and for an unknown mechanism.
    """
    name, place, bearer = field("user name", user), field("host", host), field("token", token.reveal())
    if mechanism == XOAUTH2:
        return b"user=%b\x01auth=Bearer %b\x01\x01" % (name, bearer)
    if mechanism == OAUTHBEARER:  # RFC 7628 §3.1, with the name as RFC 5801 §4 writes it
        name = name.replace(b"=", b"=3D").replace(b",", b"=2C")
        return b"n,a=%b,\x01host=%b\x01port=%d\x01auth=Bearer %b\x01\x01" % (name, place, port, bearer)
    raise ValueError(f"{mechanism!r} is none of {', '.join(MECHANISMS)}.")


@keeps_locals_in
def field(what: str, text: str) -> bytes:
    """Return a field of a frame in UTF-8. Raises `ValueError`, which names `what` and not the text, where it can be none."""
    try:
        written = text.encode()
    except UnicodeEncodeError:  # it holds the text: nothing is raised in here, where it would be the context
        written = None
    if written is None:
        raise ValueError(f"The {what} cannot be written in UTF-8.")
    if not written or any(byte < 0x20 or byte == 0x7F for byte in written):
        raise ValueError(f"The {what} is empty, or holds a control character: it would end its field early.")
    return written


def answer_to_error(mechanism: str) -> bytes:
    """Return what to send after an error challenge, before base64, so that the server ends the exchange.

    Nothing for XOAUTH2; one control-A for OAUTHBEARER (RFC 7628 §3.2.3).
    """
    return b"\x01" if mechanism == OAUTHBEARER else b""


def chosen_mechanism(preferred: Sequence[str], offered: Collection[str]) -> str:
    """Return the first of the preferred mechanisms that a server offers and this app speaks; empty where none is."""
    known = {name.upper() for name in offered}.intersection(MECHANISMS)
    return next((name for name in preferred if name in known), "")


def error_status(challenge: bytes) -> str:
    """Return the `status` of an error challenge, after base64 (RFC 7628 §3.2.2); empty where it holds none.

    Google sends an HTTP status, others a code of RFC 6750 §3.1 such as `insufficient_scope`; Microsoft sends nothing.
    """
    if len(challenge) > _LONGEST_CHALLENGE:
        return ""
    try:
        error: Any = json.loads(challenge)
    except (ValueError, RecursionError):
        return ""
    status = error.get("status") if isinstance(error, dict) else None
    plain = isinstance(status, str) and status.isascii() and status.isprintable() and len(status) <= _LONGEST_WORD
    return status if plain and isinstance(status, str) else ""
