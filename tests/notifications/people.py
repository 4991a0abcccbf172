"""A site's own functions of its users."""

from __future__ import annotations

from typing import Any

LANGUAGES = {"ada@home.example": "de"}


def address(user: Any) -> str:
    return f"{user.username}@people.example"


def language(user: Any) -> str:
    return LANGUAGES.get(user.email, "")


def broken(user: Any) -> str:
    raise LookupError(f"no row for {user.email}")
