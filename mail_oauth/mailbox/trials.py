"""A protocol tried stage by stage: connect, TLS, sign in, look, and send; who must act where the way ends.

What is returned names hosts, addresses and numbers: never a token, nor any of the mailbox's content.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, MailboxError
from mail_oauth.mailbox.errands import looked_by_imap, looked_by_pop, sent_to_itself
from mail_oauth.mailbox.grants import Grant
from mail_oauth.mailbox.sessions import Session
from mail_oauth.mailbox.stages import Stage
from mail_oauth.mailbox.wires import BROKEN, IMAP, POP, SMTP, Wire
from mail_oauth.transport import deadline


class Outcome(StrEnum):
    """What came of a stage."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One stage that was tried, or was skipped.

    `protocol` is ``"IMAP"``, ``"POP"`` or ``"SMTP"``, empty for what all of them need. `what` says, in the language
    of the moment, what was seen, or why it was skipped, or what to do about a failure, which is the words of `error`.
    """

    stage: Stage
    outcome: Outcome
    protocol: str = ""
    what: str = ""
    milliseconds: float = 0.0
    error: MailboxError | ConfigurationError | None = None

    @property
    def reason(self) -> str:
        """The code of the error; empty where there is none."""
        return getattr(self.error, "reason", "") or ("configuration" if self.error else "")


Errand = Callable[[Session[Any], Any], str]
"""Does something with a signed-in client and says what it saw. Raises a `MailboxError`."""


class _Way(NamedTuple):
    wire: Wire[Any]
    errands: dict[Stage, Errand]


WAYS = {
    "IMAP": _Way(IMAP, {Stage.LIST: looked_by_imap}),
    "POP": _Way(POP, {Stage.LIST: looked_by_pop}),
    "SMTP": _Way(SMTP, {Stage.SEND: sent_to_itself}),
}
"""The protocols, and what can be done by each of them after the sign-in."""

_SIGNING_IN = (Stage.CONNECT, Stage.TLS, Stage.SIGN_IN)


def stages_of(protocol: str, *, send: bool) -> tuple[Stage, ...]:
    """Return what `try_out` goes through."""
    errands = (stage for stage in WAYS[protocol].errands if send or stage is not Stage.SEND)
    return (*_SIGNING_IN, *errands)


def try_out(protocol: str, grant: Grant, *, user: str = "", send: bool = False) -> tuple[Step, ...]:
    """Go as far as it goes with a grant (see `Session`); with `send`, SMTP sends a message from `user` to itself.

    What fails on the way is in the steps. The timeouts are those of calls, `TOTAL_TIMEOUT` above all.
    """
    way, notes = WAYS[protocol], _Notes(protocol, stages_of(protocol, send=send))
    session = Session(way.wire, grant, user=user, timeout=app_settings().read_timeout, watch=notes.begin)
    try:
        notes.tell_of(session)
        client = session.open()
        try:
            for stage in notes.stages[len(_SIGNING_IN) :]:
                notes.begin(stage)
                notes.told[stage] = way.errands[stage](session, client)
        finally:
            notes.end()
            with contextlib.suppress(*BROKEN), deadline(app_settings().read_timeout):
                way.wire.leave(client)
    except (MailboxError, ConfigurationError) as error:
        return notes.steps(error)
    return notes.steps()


def skipped(protocol: str, stages: Sequence[Stage], why: str) -> tuple[Step, ...]:
    """Return these stages as skipped."""
    return tuple(Step(stage=stage, outcome=Outcome.SKIPPED, protocol=protocol, what=why) for stage in stages)


def stage_failed(stage: Stage) -> str:
    """Say why what comes after a stage is skipped."""
    return _("%(stage)s failed") % {"stage": stage.words}


def words_of(error: Exception) -> str:
    """Return what an error says, in the reader's language where it has words for pages."""
    return str(getattr(error, "words", error))


class _Notes:
    """How far the way has led, and how long each stage took; one that is begun again counts on."""

    def __init__(self, protocol: str, stages: tuple[Stage, ...]) -> None:
        self.protocol, self.stages = protocol, stages
        self.told: dict[Stage, str] = {}
        self._spent: defaultdict[Stage, float] = defaultdict(float)
        self._now = stages[0]
        self._since: float | None = time.monotonic()

    def begin(self, stage: Stage) -> None:
        """Note that the way has come to a stage."""
        self.end()
        self._now, self._since = stage, time.monotonic()

    def end(self) -> None:
        """Note that the stage is over, however it ended."""
        if self._since is not None:
            self._spent[self._now] += time.monotonic() - self._since
        self._since = None

    def tell_of(self, session: Session[Any]) -> None:
        """Put into words where it signs in, how, and as whom."""
        server = session.server
        starttls = server.security == "starttls"
        self.told[Stage.CONNECT] = f"{server.host}:{server.port}"
        self.told[Stage.TLS] = _("by STARTTLS") if starttls else _("from the first byte")
        self.told[Stage.SIGN_IN] = _("as %(user)s") % {"user": session.user}

    def steps(self, error: MailboxError | ConfigurationError | None = None) -> tuple[Step, ...]:
        """Return the steps; the stage that was begun last is the one that `error` ended."""
        self.end()
        if error is None:
            return self._went_well(self.stages)
        place = self.stages.index(self._now)
        failed = Step(
            stage=self._now,
            outcome=Outcome.FAILED,
            protocol=self.protocol,
            what=words_of(error),
            milliseconds=self._spent[self._now] * 1000,
            error=error,
        )
        rest = skipped(self.protocol, self.stages[place + 1 :], stage_failed(self._now))
        return (*self._went_well(self.stages[:place]), failed, *rest)

    def _went_well(self, stages: Sequence[Stage]) -> tuple[Step, ...]:
        return tuple(
            Step(
                stage=stage,
                outcome=Outcome.OK,
                protocol=self.protocol,
                what=self.told.get(stage, ""),
                milliseconds=self._spent[stage] * 1000,
            )
            for stage in stages
        )
