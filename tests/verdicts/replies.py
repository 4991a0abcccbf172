"""Replies of a token endpoint, made by hand."""

from __future__ import annotations

import json
from typing import Any

from mail_oauth.tokens import HttpReply

GRANTED: dict[str, Any] = {"access_token": "at", "token_type": "Bearer", "expires_in": 3600}


def reply(fields: object, status: int = 200, **headers: str) -> HttpReply:
    """A reply with a JSON body."""
    return raw(json.dumps(fields).encode(), status, **headers)


def raw(body: bytes, status: int = 200, **headers: str) -> HttpReply:
    """A reply with any body; a header's `_` stands for `-`."""
    return HttpReply(
        status=status,
        body=body,
        headers={name.replace("_", "-").lower(): value for name, value in headers.items()},
    )


def granted(**changes: object) -> HttpReply:
    """A good reply, some of whose members are replaced; `...` leaves one out."""
    fields = {name: value for name, value in {**GRANTED, **changes}.items() if value is not ...}
    return reply(fields)
