"""The server's side of SASL with access tokens: what a client claims, and what it is told. Pure functions.

XOAUTH2 is Google's and Microsoft's own; OAUTHBEARER is RFC 7628.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Final

MECHANISMS: Final = ("XOAUTH2", "OAUTHBEARER")

_END: Final = "\x01"
_XOAUTH2: Final = re.compile(r"user=([^\x01]+)\x01auth=(?i:bearer) ([^\x01]+)\x01\x01")
_OAUTHBEARER: Final = re.compile(r"n,a=([^,\x01]+),\x01([^\0]*)\x01\x01")
_BEARER: Final = re.compile(r"auth=bearer (.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants to sign in, and by which token."""

    user: str
    token: str = field(repr=False)


def claim_in(mechanism: str, response: bytes) -> Claim:
    """What the first message of a mechanism says, after base64. Raises `ValueError` where it says nothing."""
    text = response.decode()
    if mechanism == "XOAUTH2":
        found = _XOAUTH2.fullmatch(text)
        if found is None:
            raise ValueError("no frame of XOAUTH2")
        return Claim(found[1], found[2])
    found = _OAUTHBEARER.fullmatch(text)
    bearers = [_BEARER.fullmatch(pair) for pair in found[2].split(_END)] if found else []
    tokens = [bearer[1] for bearer in bearers if bearer]
    if found is None or len(tokens) != 1:
        raise ValueError("no frame of OAUTHBEARER")
    # RFC 5801 section 4: a name writes these two, and no other character, in another way.
    return Claim(found[1].replace("=2C", ",").replace("=3D", "="), tokens[0])


def error_challenge(mechanism: str, status: str, scope: str) -> bytes:
    """What a client is told of a refused token, before base64; then its answer is waited for."""
    if mechanism == "OAUTHBEARER":  # RFC 7628 section 3.2.2
        return json.dumps({"status": status, "scope": scope}).encode()
    return json.dumps({"status": "401", "schemes": "bearer", "scope": scope}).encode()
