"""A rolling deployment: the first release and this one side by side, on one database and one cache."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mail_oauth.models import MailCredentials
from mail_oauth.testing import search
from tests.chaos.conftest import SERVERS
from tests.chaos.rig import LONG_CALLS, ROOT, SEED, Nursery, Rig, report, size

FIRST_RELEASE = "de724896548b25ae5f38be70ee24b26bac3cfa75"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the first release's `mail_oauth`."""
    try:
        command = ["git", "-C", str(ROOT), "archive", FIRST_RELEASE, "mail_oauth"]
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and the history down to the first release: not a shallow clone, nor an archive")
    folder = tmp_path_factory.mktemp("first_release")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    # Today's watch looks on, which finds secrets by a module that there was not then.
    shutil.copy(search.__file__, folder / "mail_oauth" / "testing")
    yield folder
    shutil.rmtree(folder)  # the watch would find the fake provider's secret in its source


@contextmanager
def side_by_side(rig: Rig, first_release: Path) -> Iterator[tuple[Nursery, Nursery]]:
    cache = rig.shared_cache()
    with (
        rig.nursery(**cache, **LONG_CALLS, release=first_release) as old,
        rig.nursery(**cache, **LONG_CALLS) as new,
    ):
        yield old, new


@pytest.mark.parametrize("rig", SERVERS, indirect=True)
def test_an_old_and_a_new_release_keep_the_same_mailboxes(rig: Rig, first_release: Path):
    with side_by_side(rig, first_release) as (old, new):
        rows = _connected(rig, old) + _connected(rig, new)
        for writer, reader in ((old, new), (new, old)):
            _assert_read_by(reader, writer, rows)
            _assert_adopted_by(rig, reader, writer, rows[::3])
        begun = time.time()
        _at_random(old, new, rows)
        answers = old.answers(begun), new.answers(begun)
        posts = [len(nursery.events("posted")) for nursery in (old, new)]

    emails = {str(row.pk): row.email for row in rows}
    for answer in (*answers[0], *answers[1]):
        assert rig.provider.is_valid_access_token(answer.token, emails[answer.mailbox])
    after = rig.now(rows)
    assert all(map(rig.honours, after))
    assert [rig.posts_of(row) for row in after] == [row.generation - 1 for row in after]
    assert sum(posts) == sum(map(rig.posts_of, after))
    report.append(
        f"old and new release, {rig.where}: {len(rows)} mailboxes, {posts[0]} POSTs by the old, {posts[1]} by the "
        f"new, {len(answers[0])} and {len(answers[1])} answers, none invalid, no grant lost"
    )


def _connected(rig: Rig, nursery: Nursery) -> list[MailCredentials]:
    """Mailboxes that this release has inserted."""
    consents = [rig.consent("microsoft") for _ in range(size(10, 3))]
    events = nursery.run("connect", consents=consents)
    return [rig.rows.get(pk=event.mailbox) for event in events if event.event == "connected"]


def _assert_read_by(reader: Nursery, writer: Nursery, rows: list[MailCredentials]) -> None:
    """What one refreshes, the other hands out, without a POST: from the cache, and then from the row."""
    pks = [str(row.pk) for row in rows]
    written = {event.mailbox: event.token for event in _answers(writer.run("refresh_each", pks=pks, threads=3))}
    events = reader.run("ask_once", pks=pks, threads=3)
    assert {event.mailbox: event.token for event in _answers(events)} == written
    assert not [event for event in events if event.event == "posted"]


def _assert_adopted_by(rig: Rig, reader: Nursery, writer: Nursery, rows: list[MailCredentials]) -> None:
    """What one could not save, the other adopts."""
    pks = [str(row.pk) for row in rows]
    events = writer.run("refresh_each", {"saves_fail": True}, pks=pks, threads=len(pks))
    assert [event.kept for event in events if event.event == "parked"] == [True] * len(rows)
    rig.end_leases()
    events = reader.run("refresh_each", pks=pks, threads=len(pks))
    assert len(_answers(events)) == len(rows)
    assert not [event for event in events if event.event == "posted"]


def _answers(events: list) -> list:
    return [event for event in events if event.event == "answer"]


def _at_random(old: Nursery, new: Nursery, rows: list[MailCredentials]) -> None:
    chance = random.Random(SEED)
    pks = [str(row.pk) for row in rows]
    for nursery in (old, new):
        for _ in range(2):
            nursery.fork("read_on", pks=pks, threads=3, seed=chance.randrange(2**32))
    time.sleep(size(20, 1))
    for nursery in (old, new):
        nursery.stop()
