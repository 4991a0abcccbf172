"""The session, which ties a consent to its browser.

Of a consent under way a session holds one random value, and nothing that would be worth reading there or sending
again: sessions in signed cookies serve as well.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings

from mail_oauth.bulk import is_private
from mail_oauth.checks.addresses import callback_path
from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings

_IN_TABLE = ("sessions.backends.db", "sessions.backends.cached_db")
_CONSEQUENCE = "every consent ends as an unknown one"


def cookie() -> Found:
    """Find a session cookie that browsers do not send along when a provider sends them back."""
    same_site = str(settings.SESSION_COOKIE_SAMESITE).lower()
    if same_site == "strict":
        yield found(
            "E015",
            'SESSION_COOKIE_SAMESITE is "Strict": browsers keep the session to themselves when a provider sends them '
            f"back, and {_CONSEQUENCE}.",
        )
    if same_site == "none" and not settings.SESSION_COOKIE_SECURE:
        yield found(
            "E015",
            'SESSION_COOKIE_SAMESITE is "None" without SESSION_COOKIE_SECURE: browsers drop such a cookie.',
            'Write SESSION_COOKIE_SAMESITE = "Lax", or SESSION_COOKIE_SECURE = True.',
        )
    host, domain = _host(), str(settings.SESSION_COOKIE_DOMAIN or "").lstrip(".").lower()
    if host and domain and host != domain and not host.endswith(f".{domain}"):
        yield found(
            "E015",
            f"SESSION_COOKIE_DOMAIN {domain!r} is not that of {host}, where providers send users back: {_CONSEQUENCE}.",
            f'Write SESSION_COOKIE_DOMAIN = "{host}", or leave it out.',
        )
    path, callback = settings.SESSION_COOKIE_PATH, callback_path()
    if callback and not f"{callback}/".startswith(f"{path.rstrip('/')}/"):
        yield found(
            "E015",
            f"SESSION_COOKIE_PATH {path!r} does not cover the redirect URI {callback}: {_CONSEQUENCE}.",
            'Write SESSION_COOKIE_PATH = "/".',
        )


def app() -> Found:
    """Find sessions that lie in a table which nobody makes."""
    in_table = settings.SESSION_ENGINE.endswith(_IN_TABLE)
    if in_table and not apps.is_installed("django.contrib.sessions"):
        yield found(
            "E019",
            f"SESSION_ENGINE is {settings.SESSION_ENGINE}, and the app that has its table is not installed.",
        )


def private() -> Found:
    """Find sessions that another process of the site does not know."""
    alias = settings.SESSION_CACHE_ALIAS
    if settings.SESSION_ENGINE.endswith("sessions.backends.cache") and is_private(alias):
        yield found(
            "W007",
            f"Sessions lie in the cache {alias!r}, which is private to one process: where another one answers, "
            f"{_CONSEQUENCE}.",
            'Write SESSION_ENGINE = "django.contrib.sessions.backends.db", or SESSION_CACHE_ALIAS of a shared cache.',
        )


def _host() -> str:
    try:
        return urlsplit(app_settings().base_url).hostname or ""
    except ValueError:
        return ""
