"""The mails of notices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import NoReverseMatch, reverse
from django.utils import translation

from mail_oauth.conf import app_settings
from mail_oauth.letters import address_of, language_of, letter
from mail_oauth.models import Episode
from mail_oauth.notices.recipients import operators
from mail_oauth.wording.standing import Standing, standing


@dataclass(frozen=True, slots=True)
class Line:
    """What a mail says of one mailbox."""

    email: str
    provider: str
    standing: Standing
    url: str


def site_url(path: str) -> str:
    """Return a URL of this site, for readers who send it no request: of `BASE_URL`."""
    return app_settings().base_url.rstrip("/") + path


def mail_to_user(name: str, user: Any, episodes: Sequence[Episode]) -> EmailMultiAlternatives:
    """Return the mail `name` ("needs" or "works") about a user's mailboxes, in their language."""
    page, language = site_url(reverse("mail_oauth:mailboxes")), language_of(user)
    with translation.override(language):
        context = {"user": user, "mailboxes": [_line(each, page) for each in episodes], "url": page}
        return _mail(name, [address_of(user)], context, language=language, key=_key(name, episodes))


def mail_to_operators(context: dict[str, Any], key: str) -> EmailMultiAlternatives:
    """Return the digest, in the site's language."""
    context = {**context, "url": site_url(_admin_list())}
    return _mail("digest", operators(), context, language=settings.LANGUAGE_CODE, key=key)


def _line(episode: Episode, page: str) -> Line:
    row = episode.credentials
    return Line(row.email, row.provider_name, standing(row), f"{page}#mailbox-{row.pk}")


def _mail(
    name: str, to: Sequence[str], context: dict[str, Any], *, language: str, key: str
) -> EmailMultiAlternatives:
    return letter(name, to, context, language=language, key=key, base_url=app_settings().base_url)


def _key(name: str, episodes: Sequence[Episode]) -> str:
    about = sorted(f"{each.pk} {each.need} {each.began_at.timestamp()}" for each in episodes)
    return hashlib.sha256(" ".join([name, *about]).encode()).hexdigest()[:32]


def _admin_list() -> str:
    try:
        return reverse("admin:mail_oauth_mailcredentials_changelist")
    except NoReverseMatch:  # a site may have no admin
        return "/"
