"""One mail to the operators about many mailboxes, however many they are: counts, and the first few by name."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import Count
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.letters import send
from mail_oauth.managers.notices import OPERATORS, EpisodeQuerySet, NoticeQuerySet
from mail_oauth.managers.vocabulary import Access, Status
from mail_oauth.notices.mails import mail_to_operators
from mail_oauth.refresh.policy import retry_delay

logger = logging.getLogger(__name__)

LINES = 20
"""How many groups, and how many mailboxes, a digest names."""

SETTLED = timedelta(seconds=5)
"""An episode as young as this may lie in a transaction that is not committed yet."""


def tell_operators(episodes: EpisodeQuerySet, notices: NoticeQuerySet, *, mass: bool) -> bool | None:
    """Mail the operators what they have not been told; True if that was done, False if it failed, None: nothing to do.

    They get one mail within `NOTIFY_DIGEST_SECONDS`, and one more when a mass event begins, of which they are told at
    once. Of several workers one sends it.
    """
    settings = app_settings()
    until = timezone.now() - (SETTLED if mass else timedelta(seconds=settings.notify_after))
    told = episodes.unreported().filter(began_at__lte=until)
    if not told.needing().exists() or (notice := notices.claim(OPERATORS)) is None:
        return None
    try:
        send(mail_to_operators(_context(told.needing(), mass=mass), key=f"{notice.pk}.{until.timestamp():.0f}"))
    except Exception as error:  # noqa: BLE001  # whatever a mail backend or a template of the site's raises
        about = {"action": "notify", "outcome": "failed", "reason": type(error).__name__}
        logger.warning("the operators' digest is not sent: %s", type(error).__name__, extra=about)
        notices.put_off(notice, retry_delay(notice.failures + 1), failed=True)
        return False
    told.update(reported_at=timezone.now())
    logger.info("the operators' digest is sent", extra={"action": "notify", "outcome": "digest", "mass": mass})
    notices.put_off(notice, settings.notify_digest_seconds)
    return True


def _context(told: EpisodeQuerySet, *, mass: bool) -> dict[str, object]:
    lane = ("credentials__provider", "credentials__tenant", "need")
    groups = told.order_by().values_list(*lane).annotate(number=Count("pk")).order_by("-number", *lane)
    first = told.order_by("began_at", "pk").values_list("credentials__email", "credentials__provider", "need")
    number = told.count()
    return {
        "mass": mass,
        "users_wait": mass and not app_settings().notify_mass_users,
        "number": number,
        "groups": [(provider, tenant, _label(need), n) for provider, tenant, need, n in groups[:LINES]],
        "mailboxes": [
            (email or str(Access.APP.label), provider, _label(need)) for email, provider, need in first[:LINES]
        ],
        "more": max(number - LINES, 0),
    }


def _label(need: str) -> str:
    return str(Status(need).label)
