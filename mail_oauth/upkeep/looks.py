"""What the cache holds of each page, asked for while the database reads the page after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from mail_oauth import bulk, parking
from mail_oauth.cache import token_cache
from mail_oauth.conf import app_settings
from mail_oauth.upkeep.pages import Place
from mail_oauth.usage import marks

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen of a page: hints, all of them, for by the time that they are followed they are some seconds old.

    `suspects` have a copy that is not surely as it must be, for `parked` ones a token pair waits, and `used` says when
    mailboxes were last used, as far as that is marked.
    """

    suspects: Sequence[str] = ()
    parked: Sequence[str] = ()
    used: Mapping[str, datetime] = field(default_factory=dict)


class Looks:
    """Questions to the cache. After one that failed, `error` names the fault, and no other is asked."""

    def __init__(self, *, uses: bool) -> None:
        """Leave marks of use alone unless with `uses`."""
        self.uses = uses
        self.error = ""

    def at(self, pages: Iterable[list[Place]]) -> Iterator[tuple[list[Place], Look]]:
        """Look at each page. Redis and the database work at the same time: a look runs one page ahead, in a thread."""
        if not bulk.is_the_same_in_any_thread(app_settings().cache):
            for page in pages:
                yield page, self._look(page)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="mail_oauth look") as thread:
            before: tuple[list[Place], Future[Look]] | None = None
            for page in pages:
                ahead = page, thread.submit(self._look, page)
                if before is not None:
                    yield before[0], before[1].result()
                before = ahead
            if before is not None:
                yield before[0], before[1].result()

    def asked(self, question: Callable[[], T]) -> T | None:
        """Return the answer; None where there is none."""
        if self.error:
            return None
        try:
            return question()
        except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the walk reports it
            self.error = type(error).__name__
            return None

    def _look(self, page: list[Place]) -> Look:
        return self.asked(lambda: self._seen(page)) or Look()

    def _seen(self, page: list[Place]) -> Look:
        expected = {pk: header for pk, header, _, _ in page}
        pks = list(expected)
        return Look(
            suspects=token_cache.differing(expected),
            parked=parking.waiting(pks),
            used=marks(pks) if self.uses else {},
        )
