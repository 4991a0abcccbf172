"""Public documents of providers (discovery, signing keys), fetched once and kept for a while."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.core.signals import setting_changed

from mail_oauth.exceptions import TransportError
from mail_oauth.transport import fetch_json

KEEP_SECONDS = 3600
REFETCH_SECONDS = 60
"""How often at the most a document is fetched anew because something was missing from it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    document: dict[str, Any]
    fetched_at: float
    renewed_at: float = float("-inf")


_kept: dict[str, _Kept] = {}
_lock = threading.Lock()


def document(url: str, *, renew: bool = False) -> dict[str, Any]:
    """Return the JSON object at `url`. Raises `TransportError`.

    With `renew` it is fetched anew, for something was missing from the kept one; that is done once in
    `REFETCH_SECONDS` at the most.
    """
    kept, now = _kept.get(url), time.monotonic()
    if kept is None or now - kept.fetched_at > KEEP_SECONDS:
        kept = _Kept(_fetch(url), now)
    elif renew and now - kept.renewed_at > REFETCH_SECONDS:
        kept = _Kept(_fetch(url), now, renewed_at=now)
    with _lock:
        _kept[url] = kept
    return kept.document


def _fetch(url: str) -> dict[str, Any]:
    reply = fetch_json(url)
    try:
        found = json.loads(reply.body) if reply.status == 200 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TransportError(f"No JSON document at {url}.", cause=f"http_{reply.status}")
    return found


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MAIL_OAUTH":
        _kept.clear()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.documents")
