"""The site's own address: redirect URIs are made of it, and providers compare them letter by letter."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host
from django.urls import NoReverseMatch, reverse
from django.utils.http import is_same_domain

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings

_META_NAME = re.compile(r"HTTP_[A-Z0-9_]+")


def base_url() -> Found:
    """Find a `BASE_URL` of which no redirect URI can be made."""
    given = app_settings().base_url
    reason = _not_a_base(given) if given else ""
    if reason:
        yield found("E013", f'MAIL_OAUTH["BASE_URL"] {reason}: it is a scheme and a host, "https://your.site".')


def callback_path() -> str:
    """Return the path of a redirect URI; empty where no URL leads to this app."""
    try:
        return reverse("mail_oauth:callback", args=["alias"])
    except NoReverseMatch:
        return ""


def any_host() -> Found:
    """Find a site that lets any Host through, and makes redirect URIs of it."""
    if not app_settings().base_url and "*" in settings.ALLOWED_HOSTS:
        yield found(
            "E007",
            "ALLOWED_HOSTS lets any Host through, so redirect URIs cannot be made from it.",
            'Add MAIL_OAUTH["BASE_URL"] = "https://your.site".',
        )


def scheme() -> Found:
    """Find a redirect URI that begins with http://."""
    given = app_settings().base_url
    if given and not _not_a_base(given) and urlsplit(given).scheme == "http":
        host = urlsplit(given).netloc
        yield found(
            "E014",
            f'MAIL_OAUTH["BASE_URL"] is {given!r}: providers refuse redirect URIs that are not https.',
            f'Write MAIL_OAUTH["BASE_URL"] = "https://{host}".',
        )


def proxy() -> Found:
    """Find what Django would make of a request that a proxy has taken the TLS from."""
    header = settings.SECURE_PROXY_SSL_HEADER
    if header is not None and not _names_a_header(header):
        yield found(
            "W023",
            "SECURE_PROXY_SSL_HEADER names no header as Django reads them: every request would count as plain http, and "
            "every button be refused by CSRF.",
        )
    elif (
        header is None
        and app_settings().providers
        and not app_settings().base_url
        and "*" not in settings.ALLOWED_HOSTS
    ):
        yield found(
            "W006",
            "Redirect URIs are made of each request's scheme and Host. Behind a proxy that ends TLS they begin with "
            "http://, which providers refuse, and each further host name makes another one.",
            'Add MAIL_OAUTH["BASE_URL"] = "https://your.site".',
        )


def allowed() -> Found:
    """Find a `BASE_URL` to which providers send users, and where Django turns them away.

    A proxy may pass on another Host than the browser's; then `CSRF_TRUSTED_ORIGINS` has the browser's, or no form of
    the site would work.
    """
    given = app_settings().base_url
    if not given or not settings.ALLOWED_HOSTS or _not_a_base(given):
        return
    parts = urlsplit(given)
    host = parts.hostname or ""
    if not validate_host(host, settings.ALLOWED_HOSTS) and not _is_trusted(parts.scheme, parts.netloc):
        yield found(
            "W008",
            f"Providers send users back to {host}, which ALLOWED_HOSTS refuses.",
            f'Add "{host}" to ALLOWED_HOSTS; if a proxy passes on another Host, "{parts.scheme}://{parts.netloc}" to '
            "CSRF_TRUSTED_ORIGINS.",
        )


def _not_a_base(given: str) -> str:
    """Say what is wrong with a `BASE_URL`; nothing where it is right."""
    if not given.isprintable() or " " in given or "\\" in given:
        return "holds a character that no URL has"
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "does not begin with https:// and a host"
    if parts.username is not None or parts.query or parts.fragment or given.endswith(("?", "#")):
        return "holds more than a host"
    if parts.path not in {"", "/"}:
        return f"holds the path {parts.path!r}, which is FORCE_SCRIPT_NAME's"
    return ""


def _names_a_header(header: object) -> bool:
    pair = isinstance(header, (list, tuple)) and len(header) == 2 and all(isinstance(part, str) for part in header)
    return pair and bool(_META_NAME.fullmatch(header[0]))  # type: ignore[index]


def _is_trusted(scheme: str, netloc: str) -> bool:
    """Tell whether CSRF lets forms of that origin through, as Django's middleware does."""
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        begins, _, rest = origin.partition("://")
        if begins == scheme and is_same_domain(netloc, rest.removeprefix("*")):
            return True
    return False
