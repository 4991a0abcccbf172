"""Sealing values anew, while everything runs: under the first key, or, after the plain field, for their places.

Each batch is read, opened, sealed, and swapped in where still the same stands. Tokens do not change by that, so neither
does `generation`: cached copies stay as good as they were, and no refresh is planned anew. What is done is told by the
values themselves, so a run that was killed is simply begun again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any

from django.db.models import Q

from mail_oauth import parking
from mail_oauth.encryption import keyring, seal, unseal
from mail_oauth.exceptions import SealError
from mail_oauth.refresh.engine import persist
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.columns import SealedColumn, SealedTable, pages, present_columns, sealed_tables
from mail_oauth.upkeep.parked import parked_pages
from mail_oauth.upkeep.swap import Replaced, Swap, swap

logger = logging.getLogger(__name__)

BATCH = 500
"""In how many rows one statement swaps values."""

MOST_PASSES = 10
"""After so many somebody else still seals under another key, faster than we follow."""

MOST_NAMED = 100
"""So many unreadable values are named; all are counted."""

PAUSE = 0.2
"""After a pass that could do nothing, because what it found was locked, in seconds; longer with each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RekeyReport:
    """What was sealed anew (would be, on a dry run).

    `parked` counts token pairs in the cache, which are none of `resealed`. `changed` values were changed or locked by
    others when their turn came; a later pass found them if they needed it still. `unreadable` ones are as they were; the
    first of them are `named`, with the reason. `ended` is ``"done"``, ``"time"``, ``"stopped"``, ``"limit"``, or
    ``"passes"``: then somebody still seals under another key, or holds rows locked. `cache_error` names what the cache raised.
    """

    resealed: int = 0
    parked: int = 0
    changed: int = 0
    unreadable: int = 0
    named: tuple[str, ...] = ()
    passes: int = 0
    ended: str = "done"
    cache_error: str = ""
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing is left that should be sealed anew, unless there was no time for it."""
        return not (self.unreadable or self.cache_error or self.ended == "passes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Which values are sealed anew: in SQL, and the same of a value in hand; and how they are opened."""

    where: Callable[[SealedColumn], Q]
    concerns: Callable[[Sealed], bool]
    opened: Callable[[Sealed, str], Secret]
    parked: bool = False

    def how_many(self) -> int:
        """Count these values: for a progress bar."""
        return sum(column.rows.filter(self.where(column)).count() for column in present_columns())


ROTATION = Change(
    where=lambda column: column.not_under(keyring().keys[0]),
    concerns=lambda sealed: sealed.fingerprint != keyring().keys[0].fingerprint,
    opened=unseal,
    parked=True,
)
"""What is not under the first key; parked pairs in the cache, too."""

BINDING = Change(
    where=SealedColumn.unbound,
    concerns=lambda sealed: not sealed.is_bound,
    opened=lambda sealed, place: keyring().open_unbound(sealed.text.encode(), place),
)
"""What is bound to no place."""


def rotate_keys(**how: Any) -> RekeyReport:
    """Seal every value that is not under the first key under it: of all encrypted columns, and parked pairs.

    `how` goes to `Rekeying`. Raises `ConfigurationError` without a key, and a database's error that lasts.
    """
    return _reported("keys rotated", "rotate_keys", Rekeying(ROTATION, **how))


def bind_values(**how: Any) -> RekeyReport:
    """Seal values for their places that the plain field of django-fernet-fields wrote, whatever `ACCEPT_UNBOUND` says.

    See `rotate_keys`.
    """
    return _reported("values bound", "bind_values", Rekeying(BINDING, **how))


class Rekeying:
    """One run over every table."""

    def __init__(
        self,
        change: Change,
        *,
        batch: int = BATCH,
        limit: int | None = None,
        dry_run: bool = False,
        seconds: float = float("inf"),
        stopped: Callable[[], bool] = lambda: False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Seal anew what `change` says, in at most `limit` rows that can be opened, `batch` rows at once.

        Begins no batch after `seconds`, or once `stopped()`. `progress` gets the number of values so far.
        """
        self.change, self.batch, self.left, self.dry_run = change, batch, limit, dry_run
        self.ends_at, self.stopped, self.progress = time.monotonic() + seconds, stopped, progress
        self.counts: Counter[str] = Counter()
        self.unreadable: dict[str, str] = {}
        self.ended = ""

    def run(self) -> RekeyReport:
        """Go over all tables until a pass finds nothing to do."""
        begun = time.monotonic()
        tables = sealed_tables()
        while not self.ended:
            self._pass(tables)
        cache_error = self._reseal_parked() if self.change.parked and self.ended == "done" else ""
        return RekeyReport(
            **self.counts,
            named=tuple(f"{where}: {why}" for where, why in self.unreadable.items()),
            ended=self.ended,
            cache_error=cache_error,
            dry_run=self.dry_run,
            seconds=round(time.monotonic() - begun, 3),
        )

    def _pass(self, tables: Sequence[SealedTable]) -> None:
        """Go over all tables once. A pass that found nothing but what cannot be opened is the last."""
        resealed, changed = self.counts["resealed"], self.counts["changed"]
        self.counts["unreadable"] = 0
        self.unreadable.clear()
        for table in tables:
            self._go_over(table)
        self.counts["passes"] += 1
        worked = self.counts["resealed"] > resealed
        if self.ended:
            return
        if self.dry_run or not (worked or self.counts["changed"] > changed):
            self.ended = "done"
        elif self.counts["passes"] >= MOST_PASSES:
            self.ended = "passes"
        elif not worked:
            time.sleep(PAUSE * self.counts["passes"])

    def _go_over(self, table: SealedTable) -> None:
        names = [column.name for column in table.columns]
        for page in pages(table.where(self.change.where), names, self.batch):
            self.ended = self.ended or self._over()
            if self.ended:
                return
            alike: defaultdict[tuple[str, ...], list[Swap]] = defaultdict(list)
            for row, values in islice(self._movable(table, page), self.left):
                alike[tuple(values)].append(Swap(row.pk, tuple(values.values())))
            for of_them, swaps in alike.items():
                self._write(table, of_them, swaps)
            self.progress(self.counts["resealed"] + self.counts["unreadable"])

    def _movable(self, table: SealedTable, page: Sequence[Any]) -> Iterator[tuple[Any, dict[str, Replaced]]]:
        """Give those rows for which there is something to write. Only they count for the limit.

        Rows that cannot be opened are met again by every run: it would never come past as many as its limit.
        """
        for row in page:
            if values := self._resealed(table, row):
                yield row, values

    def _write(self, table: SealedTable, names: Sequence[str], swaps: Sequence[Swap]) -> None:
        done = len(swaps) if self.dry_run else persist(partial(swap, table, names, swaps))
        self.counts["resealed"] += done * len(names)
        self.counts["changed"] += (len(swaps) - done) * len(names)
        if self.left is not None:
            self.left -= done

    def _over(self) -> str:
        if self.left is not None and self.left <= 0:
            return "limit"
        if self.stopped():
            return "stopped"
        return "time" if time.monotonic() > self.ends_at else ""

    def _resealed(self, table: SealedTable, row: Any) -> dict[str, Replaced]:
        """Return what takes the place of a row's values, by column; one that cannot be opened stays as it is."""
        found: dict[str, Replaced] = {}
        for column in table.columns:
            old: Sealed | None = getattr(row, column.name)
            if old is None or not self.change.concerns(old):
                continue
            place = row.place(column.name)
            try:
                found[column.name] = old, seal(self.change.opened(old, place), place)
            except SealError as error:
                self._refuse(f"{column.title} {row.pk}", error)
        return found

    def _refuse(self, where: str, error: SealError) -> None:
        self.counts["unreadable"] += 1
        if len(self.unreadable) < MOST_NAMED:
            self.unreadable[where] = error.brief

    def _reseal_parked(self) -> str:
        """Seal parked pairs anew; return the name of what the cache raised, empty where it answered."""
        try:
            for pks in parked_pages():
                for pk in pks:
                    self._reseal_one(pk)
        except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the run reports it
            return type(error).__name__
        return ""

    def _reseal_one(self, pk: Any) -> None:
        try:
            self.counts["parked"] += parking.reseal(pk, dry_run=self.dry_run)
        except SealError as error:
            self._refuse(f"parked {pk}", error)


def _reported(what: str, action: str, rekeying: Rekeying) -> RekeyReport:
    report = rekeying.run()
    level = logging.INFO if report.ok else logging.WARNING
    logger.log(level, "%s: %s", what, report, extra={"action": action, **asdict(report)})
    return report
