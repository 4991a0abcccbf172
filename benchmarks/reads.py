"""What a token costs who asks for one, as the number of accounts grows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import redis
from django.conf import settings
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from benchmarks.mailboxes import make_fresh, make_resting, publish_copies, settle
from benchmarks.peers import Peer
from benchmarks.peers.accounts import SAMPLED, access_token
from benchmarks.timing import Measured, take_turns
from mail_oauth.encryption import keyring
from mail_oauth.models import MailCredentials

Read = Callable[[], object]

DICT = "a dict with an expiry check"
NEAR = "mail_oauth, near copy"
REDIS = "mail_oauth, Redis"
RAW = "redis-py GET and Fernet decrypt"


@dataclass(slots=True)
class Reads:
    """Costs by competitor and number of accounts, and what a read through Redis took from the servers.

    `copy_bytes` is what one mailbox's copy takes of Redis's memory, with its key and everything else.
    """

    costs: dict[str, dict[int, Measured]] = field(default_factory=dict)
    commands: float = 0
    round_trips: float = 0
    queries: int = 0
    copy_bytes: float = 0

    def note(self, accounts: int, measured: dict[str, Measured]) -> None:
        """Add what was measured with so many accounts."""
        for name, cost in measured.items():
            self.costs.setdefault(name, {})[accounts] = cost


class Growth:
    """Our mailboxes and the peers' accounts, brought from one number to the next."""

    def __init__(self, client: redis.Redis, peers: dict[str, Peer]) -> None:
        """Begin with none."""
        self.client = client
        self.peers = peers
        self.mailboxes = 0
        self.fresh: list[UUID] = []

    def grow(self, accounts: int) -> float:
        """Hold so many accounts everywhere; return what a new copy took of Redis's memory, in bytes."""
        fresh = min(accounts, SAMPLED) - len(self.fresh)
        self.fresh += make_fresh(fresh) if fresh else []
        resting = accounts - self.mailboxes - fresh
        if resting:
            make_resting(resting)
        before = self.client.info("memory")["used_memory"]
        copies = publish_copies(self.client)
        after = self.client.info("memory")["used_memory"]
        settle()
        self.mailboxes = accounts
        for peer in self.peers.values():
            if peer.reading and accounts <= (peer.most or accounts):
                peer.setup(accounts)
        return (after - before) / copies if copies else 0.0


def measure_reads(
    client: redis.Redis, peers: dict[str, Peer], sizes: tuple[int, ...], rounds: int, say: Callable[[str], None]
) -> Reads:
    """Grow from size to size, and measure at each."""
    growth, reads = Growth(client, peers), Reads()
    for accounts in sizes:
        say(f"reads: growing to {accounts:,} accounts")
        reads.copy_bytes = growth.grow(accounts) or reads.copy_bytes
        say(f"reads: measuring with {accounts:,}")
        competitors = {NEAR: _near_read(growth.fresh), DICT: _dict_read(growth.fresh)}
        for name, peer in peers.items():
            if peer.reading and accounts <= (peer.most or accounts):
                competitors[name] = peer.read
        reads.note(accounts, take_turns(competitors, rounds=rounds))
        with near_copy_off():
            pair = {RAW: _raw_read(client), REDIS: _our_read(growth.fresh)}
            reads.note(accounts, take_turns(pair, rounds=rounds))
    with near_copy_off():
        _count(client, reads, _our_read(growth.fresh))
    return reads


@contextmanager
def near_copy_off() -> Iterator[None]:
    """Have every read ask the cache."""
    with override_settings(MAIL_OAUTH={**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 0}):
        yield


def _near_read(pks: list[UUID]) -> Read:
    """The near copies are there at once: few calls would be taken for enough, were they slow at first."""
    read = _our_read(pks)
    for _ in pks:
        read()
    return read


def _our_read(pks: list[UUID]) -> Read:
    turn, get = itertools.cycle(pks), MailCredentials.objects.get_access_token
    return lambda: get(next(turn))


def _dict_read(pks: list[UUID]) -> Read:
    held = {pk: (access_token(number), time.time() + 3600) for number, pk in enumerate(pks)}
    turn = itertools.cycle(pks)

    def read() -> str:
        token, expiry = held[next(turn)]
        if expiry <= time.time():
            raise AssertionError("a token of the benchmark expired")
        return token

    return read


def _raw_read(client: redis.Redis) -> Read:
    """What no reading of an encrypted token from Redis can do without."""
    fernet = keyring().keys[0].fernet
    client.set("raw", fernet.encrypt(access_token(1).encode()))
    get, decrypt = client.get, fernet.decrypt
    return lambda: decrypt(get("raw"))  # type: ignore[arg-type]


def _count(client: redis.Redis, reads: Reads, read: Read, number: int = 1000) -> None:
    """Count what reads ask of Redis and of the database."""
    read()
    with CaptureQueriesContext(connection) as queries:
        before = client.info("stats")
        for _ in range(number):
            read()
        after = client.info("stats")
    asked = {
        name: after[name] - before[name] - 1 for name in ("total_commands_processed", "total_reads_processed")
    }
    reads.commands = asked["total_commands_processed"] / number
    reads.round_trips = asked["total_reads_processed"] / number
    reads.queries = len(queries)
