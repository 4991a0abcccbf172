"""Public documents of providers (discovery, signing keys), fetched once and kept for a while."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from django.core.signals import setting_changed

from mail_oauth.exceptions import TransportError
from mail_oauth.tokens import HttpReply
from mail_oauth.transport import fetch_json
from mail_oauth.transport.bodies import BadBody, read_object

MAX_DOCUMENT = 256 * 1024
"""The longest document that is read, in bytes; key sets with their certificates have some 30,000."""

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
    elif renew and _may_renew(url, kept, now):
        kept = _Kept(_fetch(url), now, renewed_at=now)
    else:
        return kept.document
    with _lock:
        _kept[url] = kept
    return kept.document


def _may_renew(url: str, kept: _Kept, now: float) -> bool:
    """Take the one turn of a minute: before the call, so that one that fails counts, and in one thread only."""
    with _lock:
        kept = _kept.get(url, kept)
        if now - kept.renewed_at <= REFETCH_SECONDS:
            return False
        _kept[url] = replace(kept, renewed_at=now)
    return True


def _fetch(url: str) -> dict[str, Any]:
    reply = fetch_json(url)
    found = object_in(reply, longest=MAX_DOCUMENT)
    if found is None:
        raise TransportError(f"No JSON document at {url}.", cause=f"http_{reply.status}")
    return found


def object_in(reply: HttpReply, *, longest: int) -> dict[str, Any] | None:
    """Return the JSON object of a good reply of at most `longest` bytes; None for anything else.

    What is not UTF-8 is refused: two names with a character that cannot be read would look the same.
    """
    if reply.status != 200 or len(reply.body) > longest:
        return None
    try:
        body = read_object(reply.body)
    except BadBody:
        return None
    return None if body.flaw == "encoding" else body.fields


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MAIL_OAUTH":
        _kept.clear()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.documents")
