"""What an error tracker is told of an error: messages, attributes, and the locals of every frame."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from django.db import connections
from django.db.models import QuerySet

ROOT = Path(__file__).resolve().parents[2]
_TESTS = (f"{ROOT}/tests/", f"{ROOT}/mail_oauth/testing/")
"""Whose frames may hold secrets in the open: the tests' own, and those of the other side."""

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


def shown(error: BaseException) -> str:
    """Everything, as trackers show it that keep nothing back."""
    with without_queries():
        return "\n".join(_lines(error))


def shown_value(value: Any) -> str:
    """The `repr` of any value."""
    with without_queries():
        return _text(value)


def _lines(error: BaseException) -> Iterator[str]:
    errors = chain(error)
    frames = [frame for each in errors for frame in _frames_of(each.__traceback__)]
    of_a_site = any(not _is_of(frame, *_TESTS, *_LIBRARIES) for frame in frames)
    of_a_test = any(_is_of(frame, *_TESTS) for frame in frames)
    for each in errors:
        yield f"{type(each).__name__}: {_text(each)} {_text(each.args)} {_text(vars(each))}"
        if of_a_site or not of_a_test:  # else tests called a library by themselves
            yield from _locals(_frames_of(each.__traceback__))


def chain(error: BaseException) -> list[BaseException]:
    """The error with its causes, its contexts, suppressed or not, and the members of groups."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and not any(each is one for one in found):
            found.append(each)
            waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return found


def _frames_of(trace: TracebackType | None) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(trace)]


def _is_of(frame: FrameType, *places: str) -> bool:
    return frame.f_code.co_filename.startswith(places)


def _locals(frames: list[FrameType]) -> Iterator[str]:
    """The locals of each frame but the tests', and those of libraries that tests call themselves."""
    called_by_tests = False
    for frame in frames:
        called_by_tests = _is_of(frame, *_TESTS) or (called_by_tests and _is_of(frame, *_LIBRARIES))
        if not called_by_tests:
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_filename}:{frame.f_code.co_name} {name} = {_text(value)}"


def _text(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001
        return f"<unprintable: {type(error).__name__}>"


# --- a look must not ask the database: tests count queries ---

_looking: ContextVar[bool] = ContextVar("looking", default=False)
_true_repr = QuerySet.__repr__


@contextmanager
def without_queries() -> Iterator[None]:
    """While open, a query set is shown by its type, and whatever else asks the database fails."""
    token = _looking.set(True)
    try:
        with ExitStack() as blocked:
            for connection in connections.all(initialized_only=True):
                blocked.enter_context(connection.execute_wrapper(_refuse))
                blocked.callback(setattr, connection, "force_debug_cursor", connection.force_debug_cursor)
                connection.force_debug_cursor = False  # what is refused is not counted either
            yield
    finally:
        _looking.reset(token)


def _refuse(*args: Any) -> None:

    raise RuntimeError("a look at a value asked the database")


def _repr(self: QuerySet[Any]) -> str:
    return f"<{type(self).__name__}>" if _looking.get() else _true_repr(self)


QuerySet.__repr__ = _repr  # type: ignore[method-assign]
