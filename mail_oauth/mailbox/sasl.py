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

_END = "\x01"
_LONGEST_CHALLENGE = 4096
_LONGEST_WORD = 64


@keeps_locals_in
def initial_response(mechanism: str, user: str, token: Secret, *, host: str, port: int) -> bytes:
    """Return the first message of a mechanism, before base64: who signs in where, and with which token.

    Raises `ValueError` for a user name or a token that would end its field, and for an unknown mechanism.
    """
    bearer = token.reveal()
    for what, text in (("user name", user), ("token", bearer), ("host", host)):
        if not text or any(character < " " or character == "\x7f" for character in text):
            raise ValueError(f"The {what} is empty, or holds a control character: it would end its field early.")
    if mechanism == XOAUTH2:
        return f"user={user}{_END}auth=Bearer {bearer}{_END}{_END}".encode()
    if mechanism == OAUTHBEARER:  # RFC 7628 §3.1, with the name as RFC 5801 §4 writes it
        name = user.replace("=", "=3D").replace(",", "=2C")
        return f"n,a={name},{_END}host={host}{_END}port={port}{_END}auth=Bearer {bearer}{_END}{_END}".encode()
    raise ValueError(f"{mechanism!r} is none of {', '.join(MECHANISMS)}.")


def answer_to_error(mechanism: str) -> bytes:
    """Return what to send after an error challenge, before base64, so that the server ends the exchange.

    Nothing for XOAUTH2; one control-A for OAUTHBEARER (RFC 7628 §3.2.3).
    """
    return _END.encode() if mechanism == OAUTHBEARER else b""


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
