"""What the processes under test can be told to do; each function here is a job by its name."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.cache import token_cache
from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.sweep import refresh_batch
from tests.chaos.rows import new_row
from tests.chaos.trace import fate, note

stopping = threading.Event()
"""Set by SIGTERM: a job without an end finishes what it has begun, and ends."""


# --- circumstances ---


def endure(
    *,
    die_at: str = "",
    saves_fail: bool = False,
    save_patience: float | None = None,
    clock: tuple[float, ...] = (),
) -> None:
    """Give this process its circumstances.

    `save_patience` is how many seconds a save waits for SQLite's lock. `clock` makes the host's clock wrong by so many
    seconds, the next of them after each half second, and round again.
    """
    fate.update(die_at=die_at, saves_fail=saves_fail, save_patience=save_patience)
    if clock:
        _turn_the_clock(clock)


def _turn_the_clock(offsets: tuple[float, ...]) -> None:
    true_now, true_time, begun = timezone.now, time.time, time.monotonic()

    def offset() -> float:
        return offsets[int((time.monotonic() - begun) / 0.5) % len(offsets)]

    timezone.now = lambda: true_now() + timedelta(seconds=offset())
    time.time = lambda: true_time() + offset()


# --- asking ---


def in_threads(number: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer(pk: str, ask: Callable[[], Any]) -> None:
    """Ask for a token, and note what came of it."""
    begun = time.monotonic()
    try:
        token = ask()
    except Exception as error:  # noqa: BLE001  # whatever a caller would have got
        note("error", mailbox=pk, kind=type(error).__name__, error=str(error))
    else:
        note("answer", mailbox=pk, token=token.reveal(), seconds=time.monotonic() - begun)


def ask_once(pks: list[str], threads: int, at: float = 0) -> None:
    """Every thread asks for its share of `pks` (each for the one, if there is only one) at the moment `at`."""

    def work(number: int) -> None:
        own = pks if len(pks) == 1 else pks[number::threads]
        time.sleep(max(at - time.time(), 0))
        for pk in own:
            answer(pk, lambda pk=pk: MailCredentials.objects.get_access_token(pk))

    in_threads(threads, work)


def refresh_each(pks: list[str], threads: int = 1) -> None:
    """Replace the token of each mailbox, whatever its age."""

    def work(number: int) -> None:
        for pk in pks[number::threads]:
            answer(pk, lambda pk=pk: MailCredentials.objects.get(pk=pk).refresh_now())

    in_threads(threads, work)


def read_on(pks: list[str], threads: int, seed: int, replacing: bool = True) -> None:
    """Read tokens at random until told to stop; with `replacing`, the first thread keeps replacing them."""

    def work(number: int) -> None:
        chance = random.Random(f"{seed}:{number}")
        while not stopping.is_set():
            pk = chance.choice(pks)
            if replacing and number == 0:
                answer(pk, lambda pk=pk: MailCredentials.objects.get(pk=pk).refresh_now())
                time.sleep(0.02)
            else:
                answer(pk, lambda pk=pk: MailCredentials.objects.get_access_token(pk))
                time.sleep(0.005)

    in_threads(threads, work)


# --- upkeep ---


def sweep(seconds: float) -> None:
    refresh_batch(revoke=lambda row: None, seconds=seconds, threads=2)


def toil(threads: int, seed: int) -> None:
    """Refresh until told to stop: one thread sweeps, the others take mailboxes at random, whatever their age."""

    def work(number: int) -> None:
        chance = random.Random(f"{seed}:{number}")
        while not stopping.is_set():
            if number == 0:
                sweep(0.5)
                time.sleep(0.05)
                continue
            pks = list(MailCredentials.objects.healthy().values_list("pk", flat=True))
            for pk in chance.sample(pks, min(len(pks), 20)):
                if stopping.is_set():
                    return
                with contextlib.suppress(MailboxError):
                    MailCredentials.objects.get(pk=pk).refresh_now()
                time.sleep(chance.uniform(0, 0.1))

    in_threads(threads, work)


def reconcile() -> None:
    report = reconcile_cache()
    note("reconciled", drift=dict(report.drift), adopted=report.adopted, cache_error=report.cache_error)


def rotate(batch: int, dawdle: float = 0) -> None:
    """Seal everything under the first key, and note each batch; so many seconds lie between its reading and writing."""
    from mail_oauth.upkeep import rekey, swap  # the first release has neither

    rekey.swap = lambda *what: time.sleep(dawdle) or swap.swap(*what)
    report = rekey.rotate_keys(batch=batch, progress=lambda done: note("sealed", done=done))
    note("rotated", resealed=report.resealed, changed=report.changed, ok=report.ok, ended=report.ended)


def prove() -> None:
    """Open everything with the keys of this process."""
    from mail_oauth.upkeep.keys import prove_keys

    status = prove_keys()
    counted = {use.key: sum(each.values for each in status.uses if each.key == use.key) for use in status.uses}
    note("proved", unopened=status.unopened, refused=list(status.refused), counted=counted)


def look(pks: list[str]) -> None:
    """Note what lies in the cache for each mailbox: the generation and token of the copy, and what is parked."""
    for row in MailCredentials.objects.filter(pk__in=pks):
        copy, pair = token_cache.get(row.pk), parking.parked(row.pk)
        parked = pair.tokens.refresh_token if pair else None
        note(
            "seen",
            mailbox=str(row.pk),
            copied=copy.generation if copy else None,
            copy=copy.reveal() if copy else None,
            parked=parked.reveal() if parked else None,
        )


# --- the database ---


def connect(consents: list[dict[str, Any]]) -> None:
    """Insert mailboxes, as the end of a consent does."""
    for consent in consents:
        row = Transitions(MailCredentials.objects).create(new_row(User.objects.get(), **consent))
        note("connected", mailbox=str(row.pk))


def hold_lock() -> None:
    """Let nobody else write to SQLite until told to stop."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN EXCLUSIVE")
        note("locked")
        stopping.wait()
        cursor.execute("ROLLBACK")


JOBS: dict[str, Callable[..., None]] = {
    job.__name__: job
    for job in (ask_once, refresh_each, read_on, sweep, toil, reconcile, rotate, prove, look, connect, hold_lock)
}
