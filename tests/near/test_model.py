"""The store does what a plain list with a clock does."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail_oauth import near as near_module
from mail_oauth.conf import Settings
from mail_oauth.near import NearCopies
from mail_oauth.tokens import AccessToken

SIZE, SECONDS = 3, 10.0

pks = st.integers(1, 5).map(lambda number: UUID(int=number))
generations = st.integers(1, 4)
steps = st.one_of(
    st.tuples(st.just("look"), pks),
    st.tuples(st.just("keep"), st.integers(0, 3), generations, st.floats(-1, 20)),
    st.tuples(st.just("get"), pks),
    st.tuples(st.just("outdate"), pks, generations),
    st.tuples(st.just("drop"), pks),
    st.tuples(st.just("clear")),
    st.tuples(st.just("wait"), st.floats(0, 12)),
    st.tuples(st.just("purge")),
)


class Unhurried(NearCopies):
    """Is purged when it is told to: a thread would come at any moment."""

    def _purging(self) -> bool:
        return True


class Model:
    """Entries `(pk, generation, until)`, the one used last at the end, and when each mailbox was changed last."""

    def __init__(self) -> None:
        self.now = 100.0
        self.entries: list[tuple[UUID, int, float]] = []
        self.changes = 0
        self.changed: dict[UUID, int] = {}
        self.looks: list[tuple[UUID, float, int]] = []

    def generation(self, pk: UUID) -> int:
        return next((held for key, held, _ in self.entries if key == pk), 0)

    def get(self, pk: UUID) -> int | None:
        found = [entry for entry in self.entries if entry[0] == pk and entry[2] > self.now]
        self.entries = [entry for entry in self.entries if entry not in found] + found
        return found[0][1] if found else None

    def keep(self, look: tuple[UUID, float, int], generation: int, seconds: float) -> None:
        pk, at, changes = look
        until = min(at + SECONDS, self.now + seconds)
        if until > self.now and self.changed.get(pk, 0) <= changes and generation >= self.generation(pk):
            self.entries = [entry for entry in self.entries if entry[0] != pk] + [(pk, generation, until)]
            self.entries = self.entries[-SIZE:]

    def outdate(self, pk: UUID, generation: float) -> None:
        held = self.generation(pk)
        if not held or held < generation:
            self.entries = [entry for entry in self.entries if entry[0] != pk]
            self.changes += 1
            self.changed[pk] = self.changes

    def clear(self) -> None:
        self.entries = []
        self.changes += 1
        self.changed = {UUID(int=number): self.changes for number in range(1, 6)}

    def purge(self) -> None:
        self.entries = [entry for entry in self.entries if entry[2] > self.now]


def token(generation: int) -> AccessToken:
    now = datetime.now(UTC)
    return AccessToken("clear", issued_at=now, expires_at=now, generation=generation)


def take(step: tuple, near: NearCopies, model: Model, looks: list) -> None:
    """Take one step in the store and in the model, and compare what they answer."""
    match step:
        case ("look", pk):
            looks.append((pk, near.look(pk)))
            model.looks.append((pk, model.now, model.changes))
        case ("keep", back, generation, seconds) if back < len(looks):
            pk, look = looks[-1 - back]
            near.keep(pk, token(generation), look, seconds)
            model.keep(model.looks[-1 - back], generation, seconds)
        case ("get", pk):
            found = near.get(pk)
            assert (found and found.generation) == model.get(pk)
        case ("outdate", pk, generation):
            near.outdate(pk, generation)
            model.outdate(pk, generation)
        case ("drop", pk):
            near.drop(pk)
            model.outdate(pk, 99)
        case ("clear",):
            near.clear()
            model.clear()
        case ("wait", seconds):
            model.now += seconds
        case ("purge",):
            near._purge()
            model.purge()
    assert len(near) == len(model.entries) <= SIZE
    assert {key for _, key in near._ends} >= set(near._entries), "some would never be erased"


@settings(max_examples=4 * settings.default.max_examples)  # it is cheap, and there are many orders
@given(st.lists(steps, max_size=60))
def test_the_store_is_its_model(walk):
    model, looks = Model(), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(near_module, "time", SimpleNamespace(monotonic=lambda: model.now))
        patched.setattr(
            near_module, "app_settings", lambda: Settings(near_cache_seconds=SECONDS, near_cache_size=SIZE)
        )
        near = Unhurried()
        for step in walk:
            take(step, near, model, looks)
        for number in range(1, 6):
            take(("get", UUID(int=number)), near, model, looks)
