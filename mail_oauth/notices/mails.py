"""The mails, from their templates. They hold addresses, names and links; never a token, and no link that needs no sign-in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import translation

from mail_oauth.conf import app_settings
from mail_oauth.models import Episode
from mail_oauth.notices.recipients import address_of, language_of, operators
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
    with translation.override(language_of(user)):
        page = site_url(reverse("mail_oauth:mailboxes"))
        context = {"user": user, "mailboxes": [_line(each, page) for each in episodes], "url": page}
        return _mail(name, [address_of(user)], context, key=_key(name, episodes))


def mail_to_operators(context: dict[str, Any], key: str) -> EmailMultiAlternatives:
    """Return the digest, in the site's language."""
    with translation.override(settings.LANGUAGE_CODE):
        context = {**context, "url": site_url(_admin_list())}
        return _mail("digest", operators(), context, key=key)


def send(message: EmailMultiAlternatives) -> None:
    """Send by the site's own mail, or by the mailer that `NOTIFY_MAILER` names. Raises what that raises."""
    alias = app_settings().notify_mailer
    if alias:
        message.send(using=alias)  # Django 6.1
    else:
        message.send()


def _line(episode: Episode, page: str) -> Line:
    row = episode.credentials
    return Line(row.email, row.provider_name, standing(row), f"{page}#mailbox-{row.pk}")


def _mail(name: str, to: Sequence[str], context: dict[str, Any], *, key: str) -> EmailMultiAlternatives:
    host = urlsplit(app_settings().base_url).hostname or "localhost"
    context = {**context, "site": host}
    subject, text, html = (
        render_to_string(f"mail_oauth/mail/{name}{end}", context) for end in ("_subject.txt", ".txt", ".html")
    )
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        from_email=app_settings().notify_from or None,
        to=list(to),
        headers={
            # Nobody's absence is to answer it (RFC 3834 §5).
            "Auto-Submitted": "auto-generated",
            # Should a worker die between sending and saying so, the mail that is sent again is known to be the same.
            "Message-ID": f"<mail-oauth.{key}@{host}>",
        },
    )
    message.attach_alternative(html, "text/html")
    return message


def _key(name: str, episodes: Sequence[Episode]) -> str:
    about = sorted(f"{each.pk} {each.need} {each.began_at.timestamp()}" for each in episodes)
    return hashlib.sha256(" ".join([name, *about]).encode()).hexdigest()[:32]


def _admin_list() -> str:
    try:
        return reverse("admin:mail_oauth_mailcredentials_changelist")
    except NoReverseMatch:  # a site may have no admin
        return "/"
