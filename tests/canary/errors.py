"""What an error tracker is told of an error: messages, attributes, and the locals of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from django.db.models import Manager, QuerySet

ROOT = Path(__file__).resolve().parents[2]
_TESTS = (f"{ROOT}/tests/", f"{ROOT}/mail_oauth/testing/")
"""Whose frames may hold secrets in the open: the tests' own, and those of the other side."""

_STRANGERS = ("/_pytest/", "/pluggy/", "/hypothesis/", "/unittest/mock.py")


def shown(error: BaseException) -> str:
    """Everything, as trackers show it that keep nothing back."""
    return "\n".join(_lines(error))


def _lines(error: BaseException) -> Iterator[str]:
    for each in chain(error):
        yield f"{type(each).__name__}: {_text(each)} {_text(each.args)} {_text(vars(each))}"
        yield from _frames(each.__traceback__)


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


def _frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_of_tests(code.co_filename):
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{code.co_filename}:{code.co_name} {name} = {_text(value)}"
        trace = trace.tb_next


def is_of_tests(filename: str) -> bool:
    """Whether a frame belongs to the tests, or to what runs them."""
    return filename.startswith(_TESTS) or any(name in filename for name in _STRANGERS)


def _text(value: Any) -> str:
    if isinstance(value, (QuerySet, Manager)):  # to show one is to ask the database
        return type(value).__name__
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001
        return f"<unprintable: {type(error).__name__}>"
