"""A database beside the suite's own, under the alias `aside`; `tests.routers.Aside` has the truth lie there."""

from __future__ import annotations

from typing import Any

from django.db import connections

ALIAS = "aside"


def open_aside(config: dict[str, Any]) -> str:
    """Configure the database; its alias. One that was there before is forgotten."""
    close_aside()
    made = connections.configure_settings({"default": {}, ALIAS: config})
    connections.settings[ALIAS] = made[ALIAS]
    return ALIAS


def close_aside() -> None:
    """Close the connection, and know nothing of the database any more."""
    if ALIAS in connections.settings:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]
