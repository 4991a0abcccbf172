"""Where a process's output is caught, in the run's own process and in its children.

Nothing of what is watched changes by it: records reach the handlers they would reach without, at the levels that
tests set, and responses, statements and errors are only read.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from django.core.cache.backends.locmem import LocMemCache
from django.core.handlers.base import BaseHandler
from django.core.signals import got_request_exception
from django.db.backends.signals import connection_created
from redis.connection import AbstractConnection

from tests.canary.errors import shown
from tests.canary.spool import WATCH, Spool

_ABSENT = object()

spool: Spool | None = None
"""This process's, once it is installed."""


def install(*, buffered: bool = False) -> None:
    """Catch all that this process writes from now on, for the run that the environment names."""
    global spool
    if spool is not None or not os.environ.get(WATCH):
        return
    spool = Spool(Path(os.environ[WATCH]), buffered=buffered)
    _tap_logs(spool)
    _tap_responses(spool)
    _tap_databases(spool)
    _tap_caches(spool)
    _tap_secrets(spool)


def around(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Replace a method by what `made` makes of it."""
    method = getattr(owner, name)
    setattr(owner, name, functools.wraps(method)(made(method)))


# --- logs ---


def _tap_logs(spool: Spool) -> None:
    """Every record at every level, whatever the configuration says, after the filters of its logger."""
    enabled = logging.Logger.isEnabledFor
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")

    def call_handlers(true: Any) -> Any:
        def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: N802
            spool.write("logs", f"{_formatted(formatter, record)}\n{_extras(record)}")
            if record.exc_info and record.exc_info[1]:
                spool.write("logs", shown(record.exc_info[1]))
            if enabled(self, record.levelno):
                true(self, record)

        return callHandlers

    around(logging.Logger, "callHandlers", call_handlers)
    around(logging.Logger, "isEnabledFor", lambda _: lambda self, level: True)


def _formatted(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.exc_text
    try:
        return formatter.format(record)
    except Exception as error:  # noqa: BLE001  # logging itself would print this one to stderr
        return repr(error)
    finally:
        record.exc_text = text


_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """What formatters of structured logs print besides: the extras, and the arguments one by one."""
    found = {name: value for name, value in vars(record).items() if name not in _OWN}
    return {**found, "args": record.args} if record.args else found


# --- responses, and what a tracker would be told of a request that crashed ---


def _tap_responses(spool: Spool) -> None:
    def asked(true: Any) -> Any:
        def get_response(self: Any, request: Any) -> Any:
            response = true(self, request)
            _keep_response(spool, request, response)
            return response

        return get_response

    def awaited(true: Any) -> Any:
        async def get_response_async(self: Any, request: Any) -> Any:
            response = await true(self, request)
            _keep_response(spool, request, response)
            return response

        return get_response_async

    around(BaseHandler, "get_response", asked)
    around(BaseHandler, "get_response_async", awaited)
    got_request_exception.connect(_keep_crash, dispatch_uid="tests.canary")


def _keep_response(spool: Spool, request: Any, response: Any) -> None:
    headers = dict(response.items())
    match = request.resolver_match
    if match is not None and match.view_name == "mail_oauth:start" and "Location" in headers:
        headers["Location"] = _without_what_the_browser_carries(spool, headers["Location"])
    body = b"" if response.streaming else response.content
    spool.write("responses", f"{response.status_code} {headers} {response.cookies.output()}")
    spool.write("responses", body)


def _without_what_the_browser_carries(spool: Spool, location: str) -> str:
    """The one place where two of our secrets stand in the open (RFC 6749 §4.1.1, OIDC Core §3.1.2.1).

    The browser takes `state` and `nonce` to the provider. From here on they must stand nowhere.
    """
    parts = urlsplit(location)
    fields = parse_qs(parts.query, keep_blank_values=True)
    for name in ("state", "nonce"):
        for value in fields.pop(name, ()):
            spool.note_secret(name, value)
    return urlunsplit((*parts[:3], str(fields), parts.fragment))


def _keep_crash(request: Any = None, **_: Any) -> None:
    from django.views.debug import ExceptionReporter, technical_500_response

    import sys

    kind, error, trace = sys.exc_info()
    if spool is None or error is None:
        return
    spool.write("crashes", shown(error))
    spool.write("crashes", repr(request))
    reporter = ExceptionReporter(request, kind, error, trace, is_email=True)
    spool.write("crashes", reporter.get_traceback_text())
    spool.write("crashes", technical_500_response(request, kind, error, trace).content)


# --- databases and caches ---


def _tap_databases(spool: Spool) -> None:
    """Each statement's values, whatever becomes of its transaction; and SQLite's files."""

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if params:
            spool.write("databases", _spelled_out([sql, params]))
        return execute(sql, params, many, context)

    def connected(connection: Any, **_: Any) -> None:
        if keep not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, keep)
        name = str(connection.settings_dict["NAME"])
        if connection.vendor == "sqlite" and name.startswith("/"):
            spool.link("sqlite", Path(name))

    connection_created.connect(connected, weak=False, dispatch_uid="tests.canary")


def _spelled_out(value: Any) -> str:
    """The values as a driver sends them: their `repr` would hide bytes."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(_spelled_out, value))
    value = getattr(value, "obj", value)  # psycopg wraps what it sends as bytes
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else str(value)


def _tap_caches(spool: Spool) -> None:
    """What goes to Redis, be it a cache or a broker, and into memory; directories are looked through at the end."""

    def sent(true: Any) -> Any:
        def send_packed_command(self: Any, command: Any, *more: Any, **options: Any) -> Any:
            for part in [command] if isinstance(command, (str, bytes)) else (command := list(command)):
                spool.write("redis", part)
            return true(self, command, *more, **options)

        return send_packed_command

    def stored(true: Any) -> Any:
        def _set(self: Any, key: str, value: bytes, *more: Any, **options: Any) -> Any:
            spool.write("memory caches", value)
            return true(self, key, value, *more, **options)

        return _set

    around(AbstractConnection, "send_packed_command", sent)
    around(LocMemCache, "_set", stored)


# --- what the app itself holds for a secret, whoever issued it ---


_TOKEN = re.compile(r"[\w.~+/!*$-]{16,}={0,2}", re.ASCII)
"""A token, a code or the like: what the app hides besides (URLs, queries, JSON) is secret only where it holds one."""


def _tap_secrets(spool: Spool) -> None:
    from mail_oauth.tokens import AccessToken, Secret

    def noted(true: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            found = true(*args, **kwargs)
            wrapped = found if found is not None else args[0]
            if _TOKEN.fullmatch(wrapped._value):
                spool.note_secret(type(wrapped).__name__, wrapped._value)
            return found

        return made

    around(Secret, "__init__", noted)
    around(AccessToken, "__init__", noted)
    of_epoch = AccessToken.__dict__["of_epoch"].__func__
    AccessToken.of_epoch = classmethod(functools.wraps(of_epoch)(noted(of_epoch)))  # type: ignore[method-assign, assignment]
