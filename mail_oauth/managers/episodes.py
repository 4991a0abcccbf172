"""Episodes begin and end with the mailbox's own transition, in its transaction: none is lost, and none told of twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.utils import timezone

from mail_oauth.choices import Notified
from mail_oauth.conf import app_settings
from mail_oauth.managers.vocabulary import EventKind, Status

if TYPE_CHECKING:
    from mail_oauth.managers.notices import EpisodeQuerySet, NoticeQuerySet
    from mail_oauth.models import MailCredentials

NEEDS = frozenset({Status.NEEDS_REAUTH, Status.NEEDS_ADMIN})
"""The states of which people are told. Others are the operators' business, and theirs is the admin."""

_BY_A_PERSON = frozenset({EventKind.CONNECTED, EventKind.RECONNECTED, EventKind.REPLACED})
"""Who has just reconnected a mailbox need not be told that it works."""


def follow(using: str, row: MailCredentials, kind: EventKind, status: str) -> None:
    """Begin or end the episode of a mailbox that is being changed to `status`; `row` is as it was before.

    Costs no query unless the status changes.
    """
    if status in NEEDS and (status != row.status or kind is EventKind.RESUMED):
        _begin(using, row, status)
    elif status != row.status and status in {Status.CONNECTED, Status.DISCONNECTED}:
        _end(using, row, kind, by_itself=status == Status.CONNECTED and kind not in _BY_A_PERSON)


def _begin(using: str, row: MailCredentials, need: str) -> None:
    """Write down what a mailbox needs, and wake its user's notice.

    Where that goes on for which its user was mailed, after a while of working, too, nobody is mailed once more. What is
    there is read before it is changed: an UPDATE that finds nothing locks a gap of InnoDB's, into which others insert.
    """
    whom, now = app_settings().notify, timezone.now()
    if not whom:
        return
    episodes = _episodes(using)
    before = episodes.filter(pk=row.pk).first()
    if before is not None and before.need == need and before.told_at is not None:
        episodes.filter(pk=row.pk).update(recovered_at=None)
        return
    begun = {"need": need, "began_at": now, "told_at": None, "recovered_at": None}
    begun["reported_at"] = now if whom == Notified.USERS else None
    if before is None:
        episodes.create(credentials_id=row.pk, **begun)
    else:
        episodes.filter(pk=row.pk).update(**begun)
    owner: Any = row.user_id
    if whom != Notified.OPERATORS and owner is not None:
        _notices(using).wake(owner, app_settings().notify_after)


def _end(using: str, row: MailCredentials, kind: EventKind, *, by_itself: bool) -> None:
    """Forget an episode, or keep it until its user is told that it is over.

    What the brake takes back is no recovery yet: the episode of who was mailed before waits for a refresh that shows
    whether it is over. Refused again, it goes on, and its user is not mailed once more.
    """
    episode, settings = _episodes(using).filter(pk=row.pk), app_settings()
    current = episode.first()
    if current is None:
        return
    owner: Any = row.user_id
    tells_users = owner is not None and settings.notify in {Notified.USERS, Notified.ALL}
    kept = kind is EventKind.REINSTATED or (by_itself and settings.notify_recovery)
    if tells_users and kept and current.told_at is not None:
        episode.update(recovered_at=timezone.now())
        _notices(using).wake(owner, settings.notify_after)
    else:
        episode.delete()


def _episodes(using: str) -> EpisodeQuerySet:
    found: Any = apps.get_model("mail_oauth", "Episode")._default_manager.using(using)
    return found  # type: ignore[no-any-return]


def _notices(using: str) -> NoticeQuerySet:
    found: Any = apps.get_model("mail_oauth", "Notice")._default_manager.using(using)
    return found  # type: ignore[no-any-return]
