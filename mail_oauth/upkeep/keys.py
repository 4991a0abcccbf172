"""Which keys are in use: values counted by what they show in clear, or opened one by one as a proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from mail_oauth import parking
from mail_oauth.encryption import keyring, unseal
from mail_oauth.exceptions import SealError
from mail_oauth.upkeep.columns import OTHER, PLAIN, SealedColumn, pages, present_columns
from mail_oauth.upkeep.parked import parked_pages

PARKED = "parked in the cache"
"""What stands for a column's name where a value is a parked pair."""

MOST_NAMED = 100
"""So many values that do not open are named; all are counted."""

PAGE = 500
"""How many values a proof holds at once."""


class Role(StrEnum):
    """What a key, or what stands in a key's place, is to this site."""

    SEALS = "seals"
    OPENS = "opens"
    MISSING = "MISSING"
    PLAIN = "bound to no place"
    OTHER = "no sealed value"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyUse:
    """How many values of one column are under one key, and in a proof how many of them opened.

    `key` is a fingerprint, ``"plain"`` for values of django-fernet-fields' own field, or ``"other"``.
    """

    key: str
    role: Role
    column: str
    values: int
    opened: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyStatus:
    """Every key of the site and every one that is in use; a key without values has a line of its own.

    `refused` names the first values that did not open, with the reason; `unopened` counts them, None without a proof.
    `cache_error` names what the cache raised, so that parked pairs are not counted.
    """

    uses: tuple[KeyUse, ...]
    unopened: int | None = None
    refused: tuple[str, ...] = ()
    cache_error: str = ""

    @property
    def missing(self) -> dict[str, list[KeyUse]]:
        """The uses of keys that the site has no more, by fingerprint."""
        found: dict[str, list[KeyUse]] = {}
        for use in self.uses:
            if use.role is Role.MISSING:
                found.setdefault(use.key, []).append(use)
        return found


def key_status() -> KeyStatus:
    """Count values by key, with one query for each encrypted column; parked pairs too. Decrypts nothing."""
    counted: Counter[tuple[str, str]] = Counter()
    for column in present_columns():
        for key, number in column.count_by_key().items():
            counted[key, column.title] = number
    error = _counting_parked(counted)
    return KeyStatus(uses=_uses(counted), cache_error=error)


def prove_keys(progress: Callable[[int], None] = lambda _: None) -> KeyStatus:
    """Open every value there is, in constant memory, and say of each key how many opened under it.

    What a value shows of its key is authenticated by what is inside, so opening it proves the key. `progress` gets the
    number of values so far.
    """
    proof = _Proof(progress)
    for column in present_columns():
        for page in pages(column.rows, [column.name], PAGE):
            for row in page:
                proof.try_column(column, row)
    error = proof.try_parked()
    return KeyStatus(
        uses=_uses(proof.values, proof.opened),
        unopened=proof.values.total() - proof.opened.total(),
        refused=tuple(proof.refused),
        cache_error=error,
    )


def how_many_values() -> int:
    """Count all values, parked ones aside: for a progress bar."""
    return sum(column.rows.count() for column in present_columns())


class _Proof:
    """Counts of values by key and column, and of those that opened."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.values: Counter[tuple[str, str]] = Counter()
        self.opened: Counter[tuple[str, str]] = Counter()
        self.refused: list[str] = []
        self._progress = progress

    def try_column(self, column: SealedColumn, row: Any) -> None:
        """Open one value of a row."""
        sealed = getattr(row, column.name)
        key = sealed.fingerprint or (PLAIN if sealed.looks_plain else OTHER)
        self._try(key, column.title, row.pk, lambda: unseal(sealed, row.place(column.name)))

    def try_parked(self) -> str:
        """Open what is parked; return the name of what the cache raised."""
        try:
            for pk, key in _parked_keys():
                self._try(key, PARKED, pk, partial(parking.parked, pk))
        except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the proof reports it
            return type(error).__name__
        return ""

    def _try(self, key: str, column: str, pk: Any, opening: Callable[[], object]) -> None:
        self.values[key, column] += 1
        try:
            opening()
            self.opened[key, column] += 1
        except SealError as error:
            if len(self.refused) < MOST_NAMED:
                self.refused.append(f"{column} {pk}: {error.brief}")
        self._progress(self.values.total())


def _counting_parked(counted: Counter[tuple[str, str]]) -> str:
    try:
        counted.update((key, PARKED) for _, key in _parked_keys())
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the status reports it
        return type(error).__name__
    return ""


def _parked_keys() -> Iterator[tuple[Any, str]]:
    """Find the mailboxes for which a pair is parked, each with its key; raises what the cache raises."""
    for pks in parked_pages():
        for pk, key in parking.fingerprints(pks).items():
            yield pk, key or OTHER


def _uses(counted: Counter[tuple[str, str]], opened: Counter[tuple[str, str]] | None = None) -> tuple[KeyUse, ...]:
    """Order what was counted: keys as the site has them, then those that it has not."""
    ring = [key.fingerprint for key in keyring().keys]
    roles = {PLAIN: Role.PLAIN, OTHER: Role.OTHER} | dict.fromkeys(ring, Role.OPENS) | {ring[0]: Role.SEALS}
    found = dict(sorted(counted.items()))
    idle = {(key, ""): 0 for key in ring if not any(key == used for used, _ in found)}
    uses = [
        KeyUse(
            key=key,
            role=roles.get(key, Role.MISSING),
            column=column,
            values=number,
            opened=None if opened is None else opened[key, column],
        )
        for (key, column), number in (found | idle).items()
    ]
    place = {key: number for number, key in enumerate(ring)}
    return tuple(sorted(uses, key=lambda use: (place.get(use.key, len(ring)), use.key, use.column)))
