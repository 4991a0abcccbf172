"""Notices as a queue: who is to be mailed, claimed by one worker at a time, and none forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.managers.clock import DatabaseNow

if TYPE_CHECKING:
    from mail_oauth.models import Episode, Notice

    _EpisodeBase = models.Manager[Episode]
    _NoticeBase = models.Manager[Notice]
else:
    _EpisodeBase = _NoticeBase = models.Manager

OPERATORS = "operators"
"""The recipient that is no user."""

_TOKENS = ("credentials__access_token", "credentials__refresh_token")

LEASE = timedelta(minutes=10)
"""For how long a worker may be busy with one mail: an SMTP server may be slow, and has no deadline by default."""

AT_ONCE = 500
"""So many rows one statement names: SQLite takes no thousand conditions."""

MASS = timedelta(hours=1)
"""For how long a mass event goes on after it was last seen."""


class EpisodeQuerySet(models.QuerySet["Episode"]):
    """Stretches of time in which mailboxes need somebody."""

    def unreported(self) -> EpisodeQuerySet:
        """Those that the operators have not been told of, and that go on."""
        return self.filter(reported_at__isnull=True, recovered_at__isnull=True)

    def untold(self, since: datetime) -> EpisodeQuerySet:
        """Those that began since then and that their users have not been told of; so they go on (else they are deleted)."""
        return self.filter(told_at__isnull=True, began_at__gt=since)

    def needing(self) -> EpisodeQuerySet:
        """Those whose mailboxes are there, and need what the episode says."""
        return self.filter(credentials__status=F("need"))

    def of_user(self, user_id: Any) -> list[Episode]:
        """Return those of a user's mailboxes with their rows, tokens left in the database; the oldest first."""
        found = self.filter(credentials__user=user_id).select_related("credentials")
        return list(found.defer(*_TOKENS).order_by("began_at", "pk"))

    def mark_told(self, episodes: list[Episode]) -> None:
        """Note that a user was mailed of these, unless another need has begun since they were read."""
        now = timezone.now()
        for part in _parts(episodes):
            same = Q(*(Q(pk=each.pk, began_at=each.began_at) for each in part), _connector=Q.OR)
            self.filter(same, told_at__isnull=True).update(told_at=now)

    def close(self, episodes: list[Episode]) -> None:
        """Forget those of whose end a user was told, unless they go on after all."""
        for part in _parts(episodes):
            self.filter(pk__in=[each.pk for each in part], recovered_at__isnull=False).delete()


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Who is to be mailed. Every change is one conditional UPDATE, by the database's clock."""

    def of_users(self) -> NoticeQuerySet:
        """Leave the operators out."""
        return self.filter(user__isnull=False)

    def due(self) -> NoticeQuerySet:
        """Users who may be mailed now, the longest due first."""
        return self.of_users().filter(due_at__lte=DatabaseNow()).order_by("due_at")

    def wake(self, user_id: Any, seconds: float) -> None:
        """Have a user looked at in so many seconds, or earlier where that was planned.

        The row is changed in any case: whoever is about to settle it learns that there is something new.
        """
        recipient, soon = f"user:{user_id}", DatabaseNow() + timedelta(seconds=seconds)
        mine = self.filter(pk=recipient)
        if not mine.exists():  # an INSERT that is ignored locks what others update (InnoDB)
            self.bulk_create([self.model(recipient=recipient, user_id=user_id)], ignore_conflicts=True)
        mine.update(version=F("version") + 1)
        # Nobody's lease is cut short: who holds it sees the version when putting off.
        mine.filter(Q(due_at__isnull=True) | Q(due_at__gt=soon), owner="").update(due_at=soon)

    def claim(self, recipient: str) -> Notice | None:
        """Be the one who mails this recipient; None when another worker is. Who dies over it leaves it to the next."""
        owner = uuid4().hex
        due = self.filter(pk=recipient, due_at__lte=DatabaseNow())
        if not due.update(owner=owner, due_at=DatabaseNow() + LEASE):
            return None
        return self.filter(pk=recipient, owner=owner).select_related("user").first()

    def settle(self, notice: Notice) -> None:
        """End a claim with nothing left to say; look once more where an episode was changed meanwhile."""
        ours = self.filter(pk=notice.pk, owner=notice.owner)
        if not ours.filter(version=notice.version).update(owner="", due_at=None, failures=0):
            ours.update(owner="", due_at=DatabaseNow(), failures=0)

    def put_off(self, notice: Notice, seconds: float, *, failed: bool = False) -> None:
        """End a claim, and try again after so many seconds; no later than a new need wants that began meanwhile."""
        ours, failures = self.filter(pk=notice.pk, owner=notice.owner), F("failures") + 1 if failed else 0
        sooner = min(seconds, float(app_settings().notify_after))
        for rows, wait in ((ours.filter(version=notice.version), seconds), (ours, sooner)):
            if rows.update(owner="", due_at=DatabaseNow() + timedelta(seconds=wait), failures=failures):
                return

    def see_mass(self, count: int, episodes: EpisodeQuerySet) -> float:
        """Return for how many seconds a mass event goes on, 0 for none; `count` users whose need is new begin it.

        Who waits longer, for a held lane or for the event to be over, does not hold it up. Its beginning makes the
        operators' notice due: of many workers one begins it.
        """
        self.get_or_create(recipient=OPERATORS, defaults={"due_at": DatabaseNow()})
        operators, until = self.filter(pk=OPERATORS), DatabaseNow() + MASS
        since = timezone.now() - timedelta(seconds=app_settings().notify_after) - MASS
        fallen = Exists(episodes.untold(since).filter(credentials__user=OuterRef("user")))
        if count and self.of_users().filter(fallen, due_at__isnull=False)[:count].count() >= count:
            beginning = operators.exclude(mass_until__gt=DatabaseNow())
            if not beginning.update(mass_until=until, due_at=DatabaseNow()):
                operators.update(mass_until=until)
        over_at = operators.filter(mass_until__gt=DatabaseNow()).values_list("mass_until", flat=True).first()
        return max((over_at - timezone.now()).total_seconds(), 1.0) if over_at else 0.0


class EpisodeManager(_EpisodeBase.from_queryset(EpisodeQuerySet)):  # type: ignore[misc]
    """The manager of `Episode`."""


class NoticeManager(_NoticeBase.from_queryset(NoticeQuerySet)):  # type: ignore[misc]
    """The manager of `Notice`."""


def _parts(episodes: list[Episode]) -> Iterator[list[Episode]]:
    for start in range(0, len(episodes), AT_ONCE):
        yield episodes[start : start + AT_ONCE]
