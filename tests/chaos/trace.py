"""What a process under test does, written down, and the points at which it can be told to die.

Every process appends to the file TRACE, one `write()` for each event, which a SIGKILL cannot undo: `posted` before a
refresh is sent, `replied` when its answer has come (by the first release: begun), `saved` when the pair is committed, `parked` when it was put
away instead. Posts carry the digest of the refresh token that is spent.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

from django.db import DatabaseError, connection
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.connection import HTTPConnection

from mail_oauth import parking
from mail_oauth.cache import TokenCache
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.signals import token_refreshed

_file = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_true_time = time.time  # a job may give its process a wrong clock
_send = HTTPConnectionPool.urlopen

fate: dict[str, Any] = {"die_at": "", "saves_fail": False, "save_patience": None}
"""The circumstances of this process, as `tests.chaos.jobs.endure` was told them."""


def note(event: str, **facts: Any) -> None:
    line = {"event": event, "pid": os.getpid(), "thread": threading.get_ident(), "at": _true_time(), **facts}
    os.write(_file, json.dumps(line).encode() + b"\n")


def reach(point: str) -> None:
    """Die here, if this is the point."""
    if point == fate["die_at"]:
        note("killed", point=point)
        os.kill(os.getpid(), signal.SIGKILL)


def install() -> None:
    """Hook the functions that a refresh passes, in its order; every release calls by urllib3."""
    HTTPConnectionPool.urlopen = _traced_send  # type: ignore[method-assign]
    token_refreshed.connect(_note_saved)
    _around(MailCredentialsQuerySet, "claim", after=lambda row: row is not None and reach("claimed"))
    for owner in _family(HTTPConnection):
        if "getresponse" in vars(owner):
            _around(owner, "getresponse", before=lambda: reach("posted"))
    _around(Transitions, "save_tokens", before=_before_save)
    _around(parking, "park", after=_after_park)
    _around(TokenCache, "put", after=lambda written: reach("published"))


def _around(
    owner: Any, name: str, *, before: Callable[[], Any] = lambda: None, after: Callable[[Any], Any] = bool
) -> None:
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        before()
        result = inner(*args, **kwargs)
        after(result)
        return result

    setattr(owner, name, outer)


def _family(owner: type) -> Iterator[type]:
    yield owner
    for child in owner.__subclasses__():
        yield from _family(child)


def _traced_send(
    self: HTTPConnectionPool, method: str, url: str, body: bytes | str | None = None, *args: Any, **kwargs: Any
) -> BaseHTTPResponse:
    text = body.decode() if isinstance(body, bytes) else body
    spent = parse_qs(text or "").get("refresh_token", [""])[0]
    digest = hashlib.sha256(spent.encode()).hexdigest()
    note("posted", digest=digest)
    try:
        response = _send(self, method, url, body, *args, **kwargs)
    except BaseException as error:
        note("unanswered", digest=digest, error=type(error).__name__)
        raise
    note("replied", digest=digest, status=response.status)
    return response


def _note_saved(credentials: MailCredentials, **_: Any) -> None:
    note("saved", mailbox=str(credentials.pk), generation=credentials.generation)
    reach("saved")


def _before_save() -> None:
    reach("replied")
    if fate["save_patience"] is not None and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(fate['save_patience'] * 1000)}")
    if fate["saves_fail"]:
        raise DatabaseError("this database takes no tokens")


def _after_park(kept: bool) -> None:
    note("parked", kept=kept)
    reach("parked")
