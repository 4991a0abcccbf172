"""Workers pull notices: each claims one user after the other, and mails what there is to say of all their mailboxes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mail_oauth.conf import app_settings
from mail_oauth.letters import address_of, send
from mail_oauth.managers.health import board
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.notices import EpisodeQuerySet, NoticeQuerySet
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import Episode, MailCredentials, Notice
from mail_oauth.notices.digest import tell_operators
from mail_oauth.notices.mails import mail_to_user
from mail_oauth.notices.recipients import tells_operators, tells_users
from mail_oauth.notices.todo import todo
from mail_oauth.refresh.policy import retry_delay
from mail_oauth.signals import user_notified

logger = logging.getLogger(__name__)

PAGE = 100
"""How many recipients are looked up at once."""

VAIN = 3
"""After so many failures in a row a run ends: the mail server is away, and the rest would wait for it as well."""

Fate = Literal["mailed", "nothing", "put_off", "unreachable", "waived", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeReport:
    """What became of the users that were due, and how many digests were sent.

    `put_off` are those who wait for a held lane, or to be told of several mailboxes at once; `unreachable` have no
    address; `waived` wait for the end of a mass event. `ended` is "off", "done", "time", "stopped" or "failing".
    """

    mailed: int = 0
    nothing: int = 0
    put_off: int = 0
    unreachable: int = 0
    waived: int = 0
    failed: int = 0
    digests: int = 0
    ended: str = "done"


def send_notices(seconds: float | None = None, stopped: Callable[[], bool] = lambda: False) -> NoticeReport:
    """Mail whoever is to be told, for `BATCH_SECONDS` unless told otherwise; nobody while `NOTIFY` is off.

    Any number may run at once. Raises nothing for a mail that cannot be sent: it is tried again, ever later.
    """
    if not app_settings().notify:
        return NoticeReport(ended="off")
    limit = app_settings().batch_seconds if seconds is None else seconds
    return Run(limit, stopped).run()


class Run:
    """One worker's turn."""

    def __init__(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """End after so many seconds, or when it is to be stopped."""
        self.transitions = Transitions(MailCredentials.objects)
        using = self.transitions.using
        self.notices: NoticeQuerySet = Notice.objects.using(using)
        self.episodes: EpisodeQuerySet = Episode.objects.using(using)
        self.lanes = Lanes(MailCredentials.objects)
        self.fates: Counter[str] = Counter()
        self.mass = 0.0
        self._vain = 0
        self._stopped = stopped
        self._give_up_at = time.monotonic() + seconds

    def run(self) -> NoticeReport:
        """Mail the operators, then users until none is due."""
        self._tell_operators()
        ended = self._tell_users() if tells_users() else "done"
        return NoticeReport(**{str(fate): number for fate, number in self.fates.items()}, ended=ended)

    def _tell_operators(self) -> None:
        """Look whether a mass event goes on, which is theirs to know of, and mail them."""
        if not tells_operators():
            return
        self.mass = self.notices.see_mass(app_settings().notify_mass_count, self.episodes)
        done = tell_operators(self.episodes, self.notices, mass=self.mass > 0)
        if done is not None:
            self.fates["digests" if done else "failed"] += 1

    def _tell_users(self) -> str:
        while recipients := list(self.notices.due().values_list("pk", flat=True)[:PAGE]):
            board.forget()  # a brake that another process has pulled counts at once
            for recipient in recipients:
                if self._stopped():
                    return "stopped"
                if time.monotonic() > self._give_up_at:
                    return "time"
                if self._vain >= VAIN:
                    return "failing"
                if (notice := self.notices.claim(recipient)) is not None:
                    self._count(self._tell(notice))
        return "done"

    def _count(self, fate: Fate) -> None:
        self.fates[fate] += 1
        self._vain = self._vain + 1 if fate == "failed" else self._vain if fate != "mailed" else 0

    def _tell(self, notice: Notice) -> Fate:
        """Mail one user. What goes wrong with one never stops the others."""
        try:
            return self._mail(notice)
        except Exception as error:  # noqa: BLE001  # a mail backend, a template or a function of the site's
            reason = type(error).__name__  # its text may hold addresses
            about = {"action": "notify", "outcome": "failed", "user": str(notice.user_id), "reason": reason}
            logger.warning("user %s is not mailed: %s", notice.user_id, reason, extra=about)
            self.notices.put_off(notice, retry_delay(notice.failures + 1), failed=True)
            return "failed"

    def _mail(self, notice: Notice) -> Fate:
        things = todo(self.episodes.of_user(notice.user_id), self.lanes, failing=notice.failures > 0)
        fate: Fate = "put_off" if things.seconds else "nothing"
        if things.needing:
            fate = self._tell_of_needs(notice.user, things.needing)
        if fate == "waived":
            things.seconds = min(things.seconds or self.mass, self.mass)
        if things.recovered:
            fate = self._tell_of_recovery(notice.user, things.recovered)
        if things.seconds:
            self.notices.put_off(notice, things.seconds)
        else:
            self.notices.settle(notice)
        return fate

    def _tell_of_needs(self, user: Any, episodes: list[Episode]) -> Fate:
        if not address_of(user):
            return "unreachable"
        if self.mass and not app_settings().notify_mass_users:
            return "waived"
        send(mail_to_user("needs", user, episodes))
        self.episodes.mark_told(episodes)
        self._tell_others(user, episodes, recovered=False)
        return "mailed"

    def _tell_of_recovery(self, user: Any, episodes: list[Episode]) -> Fate:
        """Say that all is well again, where that is wanted; the episodes end in any case."""
        wanted = app_settings().notify_recovery and bool(address_of(user))
        if wanted:
            send(mail_to_user("works", user, episodes))
        self.episodes.close(episodes)
        if wanted:
            self._tell_others(user, episodes, recovered=True)
        return "mailed" if wanted else "nothing"

    def _tell_others(self, user: Any, episodes: list[Episode], *, recovered: bool) -> None:
        """Write it into the mailboxes' history, and tell whoever listens."""
        rows = [each.credentials for each in episodes]
        for row in rows:
            reason = "recovered" if recovered else row.status
            self.transitions.record(row, EventKind.USER_TOLD, reason=reason, generation=row.generation)
        about = {"action": "notify", "outcome": "mailed", "user": str(user.pk), "mailboxes": len(rows)}
        logger.info("user %s is mailed about %d mailboxes", user.pk, len(rows), extra=about)
        told = user_notified.send_robust(MailCredentials, user=user, mailboxes=rows, recovered=recovered)
        for receiver, answer in told:
            if isinstance(answer, Exception):
                failed = {"action": "receiver_failed", "user": str(user.pk)}
                logger.error("receiver %r failed", receiver, exc_info=answer, extra=failed)
