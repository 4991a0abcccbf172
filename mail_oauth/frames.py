"""Errors that carry no secret in the frames of their traceback.

Django's debug page, its mails to admins and every error tracker show the locals of each frame that an error came
through. In a few functions, and in the libraries that those call, a secret must lie open. They are marked by
`keeps_locals_in`, so that a site need not know them: not by `sensitive_variables`, which the debug page and trackers
disregard, and which says nothing of a library's frames.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def keeps_locals_in(function: F) -> F:
    """Mark a function, plain or async, in whose frames secrets lie open: an error leaves it without their locals.

    Who called it with a secret in the open, and what becomes of its result, is the caller's: hand it a `Secret`.
    """

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget_locals(error, until=handled)
            raise

    @wraps(function)
    async def guarded_async(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget_locals(error, until=handled)
            raise

    return cast(F, guarded_async if inspect.iscoroutinefunction(function) else guarded)


def forget_locals(error: BaseException, *, until: BaseException | None = None) -> None:
    """Empty the frames that an error, its causes and contexts came through, where they have ended.

    Not those of `until` and what lies behind it, which was there before.
    """
    for each in _chain(error, until):
        traceback.clear_frames(each.__traceback__)


def _chain(error: BaseException, until: BaseException | None) -> Iterator[BaseException]:
    seen, waiting = {id(until)}, [error]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
            waiting += [one for one in (each.__cause__, each.__context__, *members) if one is not None]
