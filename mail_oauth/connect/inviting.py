"""Links by which a user is asked to reconnect a mailbox: signed, for one user, and good for one consent.

What a link opens is the button to reconnect, and that only for the signed-in user of the mailbox: who reads the mail on
its way gains nothing. The newest link of a mailbox is the only one that works; connecting the mailbox ends it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.db import router
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.letters import address_of, language_of, letter, send
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials, ReconnectLink

logger = logging.getLogger(__name__)

_SALT = "mail_oauth.reconnect"


class Invited(StrEnum):
    """What came of asking a user."""

    SENT = "sent"
    OFF = "links_off"
    NO_USER = "no_user"
    NO_ADDRESS = "no_address"
    NO_LINK = "no_base_url"
    NOT_SENT = "mail_not_sent"
    GONE = "disconnected"


def invite(row: MailCredentials, *, origin: str = "") -> Invited:
    """Send the user of a mailbox a link to reconnect it; the links that were sent before end, unless this one cannot be.

    `origin` is the scheme and host of the site where `BASE_URL` does not say it. By the site's own mail, in the user's
    language.
    """
    if not app_settings().reconnect_link_days:
        return Invited.OFF
    if row.status == Status.DISCONNECTED:
        return Invited.GONE
    user: Any = row.user  # a mailbox may have none
    if user is None:
        return Invited.NO_USER
    address, base = address_of(user), app_settings().base_url.rstrip("/") or origin
    if not address or not base:
        return Invited.NO_ADDRESS if not address else Invited.NO_LINK
    former = _links().filter(mailbox=row.pk).values("digest", "sent_at", "expires_at", "used_at").first()
    name = new_link(row)
    link = base + reverse("mail_oauth:reconnect", args=[name])
    try:
        send(_message(row, address, link))
    except Exception as error:  # noqa: BLE001  # whatever a mail backend raises
        _take_back(name, former)
        about = {"action": "invite", "mailbox": str(row.pk), "outcome": type(error).__name__}
        logger.error("no mail to the user of %s: %s", row.pk, type(error).__name__, extra=about)
        return Invited.NOT_SENT
    return Invited.SENT


def new_link(row: MailCredentials) -> str:
    """Return the signed name of a new link, and end those that were made before."""
    nonce, now = secrets.token_urlsafe(24), timezone.now()
    lasting = timedelta(days=app_settings().reconnect_link_days)
    fresh = {"digest": _digest(nonce), "sent_at": now, "expires_at": now + lasting, "used_at": None}
    _links().update_or_create(mailbox_id=row.pk, defaults=fresh)
    return signing.dumps([row.pk.hex, nonce], salt=_SALT)


def _take_back(name: str, former: Mapping[str, Any] | None) -> None:
    """Have the link before this one work again, unless there is a newer one or this one was used after all."""
    unused = _named(name).filter(used_at__isnull=True)
    if former is None:
        unused.delete()
    else:
        unused.update(**former)


def mailbox_of(name: str, user: Any) -> MailCredentials | None:
    """Return the mailbox that a link asks its user to reconnect.

    None for a link that is forged, used, expired, superseded or somebody else's: nobody learns which.
    """
    pk, nonce = _parts(name)
    link = _links().select_related("mailbox").filter(pk=pk).first() if pk else None
    if link is None or not hmac.compare_digest(link.digest, _digest(nonce)):
        return None
    row: MailCredentials = link.mailbox
    lives = link.used_at is None and link.expires_at > timezone.now() and row.connected_at <= link.sent_at
    ours = user.pk is not None and row.user_id == user.pk and row.status != Status.DISCONNECTED
    return row if lives and ours else None


def use_link(name: str) -> bool:
    """Use a link up: of two callers with the same one gets it."""
    return bool(_named(name).filter(used_at__isnull=True).update(used_at=timezone.now()))


def give_link_back(name: str) -> None:
    """Let a link work once more, because no consent was begun by it."""
    _named(name).update(used_at=None)


def _named(name: str) -> QuerySet[ReconnectLink]:
    pk, nonce = _parts(name)
    return _links().filter(pk=pk, digest=_digest(nonce), expires_at__gt=timezone.now())


def _links() -> QuerySet[ReconnectLink]:
    return ReconnectLink.objects.using(router.db_for_write(ReconnectLink))  # a replica may lag behind


def _parts(name: str) -> tuple[UUID | None, str]:
    """Return what a link names, if it was signed here."""
    try:
        pk, nonce = signing.loads(name, salt=_SALT)
        return UUID(hex=pk), str(nonce)
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return None, ""


def _message(row: MailCredentials, address: str, link: str) -> EmailMultiAlternatives:
    days = app_settings().reconnect_link_days
    context = {"mailbox": row, "user": row.user, "link": link, "days": int(days) if days == int(days) else days}
    return letter(
        "reconnect", [address], context, language=language_of(row.user), key=_digest(link)[:32], base_url=link
    )


def _digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()
