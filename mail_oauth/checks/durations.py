"""The arithmetic of leases, timeouts and validity."""

from __future__ import annotations

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings
from mail_oauth.managers.budget import CALLERS_AHEAD, calls_per_second

_NOT_ZERO = {
    "CONNECT_TIMEOUT": "no provider can be called",
    "READ_TIMEOUT": "no provider can be called",
    "TOTAL_TIMEOUT": "no provider can be called",
    "BATCH_SIZE": "a sweep claims nothing",
    "BATCH_TASKS": "beat enqueues no sweep",
    "BATCH_SECONDS": "a sweep ends after its first claim",
    "BACKOFF_BASE": "a provider that fails is asked again without a pause",
    "DEFAULT_EXPIRES_IN": "tokens without a lifetime are replaced at once, for ever",
    "CIRCUIT_MAILBOXES": "every failure holds its whole lane",
    "STATE_SECONDS": "every consent is over before it begins",
}
"""What a setting of zero means."""


def leases() -> Found:
    """Find calls that may outlast their lease, and callers that give up before those can have ended."""
    ours = app_settings()
    budgeted = any(calls_per_second(alias) is not None for alias in ours.providers)
    turn = CALLERS_AHEAD if budgeted else 0.0  # for which a caller may wait, with the lease in hand
    and_turn = f" + {CALLERS_AHEAD:.0f} s for a turn within CALLS_PER_SECOND" if budgeted else ""
    if ours.connect_timeout + ours.read_timeout + ours.total_timeout + turn >= ours.lease_seconds:
        yield found(
            "E004",
            "A call of a provider may outlast the lease of its mailbox, so that two workers refresh it.",
            f'Keep MAIL_OAUTH["LEASE_SECONDS"] above CONNECT_TIMEOUT + READ_TIMEOUT + TOTAL_TIMEOUT{and_turn}.',
        )
    if ours.wait_timeout < ours.total_timeout + turn:
        yield found(
            "E004",
            "A caller gives up before the refresh that it waits for can have ended.",
            f'Keep MAIL_OAUTH["WAIT_TIMEOUT"] at least at TOTAL_TIMEOUT{and_turn}.',
        )


def validity() -> Found:
    """Find callers that would wait for what the sweep does a little later."""
    ours = app_settings()
    if ours.min_validity > ours.refresh_margin:
        yield found(
            "W017",
            f'MAIL_OAUTH["MIN_VALIDITY"] ({ours.min_validity} s) is above REFRESH_MARGIN ({ours.refresh_margin} s): '
            "callers refuse tokens before the sweep replaces them, and wait for a refresh each.",
            'Keep MAIL_OAUTH["MIN_VALIDITY"] below REFRESH_MARGIN: 60 and 300 are the defaults.',
        )


def nothing() -> Found:
    """Find settings of zero that bring something to a standstill."""
    ours = app_settings()
    for name, consequence in _NOT_ZERO.items():
        if not getattr(ours, name.lower()):
            default = type(ours)().__getattribute__(name.lower())
            yield found(
                "E030",
                f'MAIL_OAUTH["{name}"] is 0: {consequence}.',
                f'Write MAIL_OAUTH["{name}"] = {default}, or leave it out.',
            )
