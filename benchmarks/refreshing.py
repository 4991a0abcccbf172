"""What a refresh costs in CPU: our whole path, and the peers' as their documentation has it.

They take turns in one process. Ours claims, decrypts, calls, judges, encrypts, saves and publishes a batch of
mailboxes over threads, as a worker does, against an endpoint that takes 100 ms; a peer refreshes one account after
the other, against the same endpoint, which answers it at once: waiting costs no CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.mailboxes import top_up
from benchmarks.peers import Peer
from benchmarks.peers.accounts import SAMPLED
from benchmarks.timing import Measured
from mail_oauth.upkeep.sweep import refresh_batch

OURS = "mail_oauth, whole path"
THREADS = 32
PEER_CALLS = 12
"""How many accounts a peer refreshes in one turn."""


def measure_refreshes(peers: dict[str, Peer], *, rounds: int, batch: int) -> dict[str, Measured]:
    """Measure in turns; the peers begin with `SAMPLED` accounts each."""
    refreshing = {name: peer for name, peer in peers.items() if peer.refreshing}
    for peer in refreshing.values():
        peer.setup(SAMPLED)
        peer.refresh()
    _batch(batch)
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in [OURS, *refreshing]}
    for _ in range(rounds):
        turns[OURS].append(_batch(batch))
        for name, peer in refreshing.items():
            turns[name].append(_timed(lambda peer=peer: _several(peer)))  # type: ignore[misc]
    return {
        name: Measured(tuple(wall for wall, _ in taken), tuple(cpu for _, cpu in taken))
        for name, taken in turns.items()
    }


def _batch(number: int) -> tuple[float, float]:
    """Refresh about so many mailboxes; the time of one, by wall clock and CPU."""
    top_up(number)

    def sweep() -> int:
        return refresh_batch(revoke=_never, seconds=120, threads=THREADS).refreshed

    return _timed(sweep)


def _several(peer: Peer) -> int:
    for _ in range(PEER_CALLS):
        peer.refresh()
    return PEER_CALLS


def _timed(work: Callable[[], int]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return (time.perf_counter() - wall) / done, (time.process_time() - cpu) / done


def _never(row: object) -> None:
    raise AssertionError(f"{row} was never disconnected")
