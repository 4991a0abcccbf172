"""The two kinds of URL that the flow handles: its own redirect URI, and where users go afterwards."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError


def redirect_uri(request: HttpRequest, alias: str) -> str:
    """Return the redirect URI of a provider: one for each (RFC 9700 §4.4), never from an unchecked Host.

    Raises `ConfigurationError` when neither `BASE_URL` nor `ALLOWED_HOSTS` says which host is ours.
    """
    return origin(request) + reverse("mail_oauth:callback", args=[alias])


def origin(request: HttpRequest) -> str:
    """Return the scheme and host of this site. Raises `ConfigurationError` as `redirect_uri` does."""
    base_url = app_settings().base_url
    if base_url:
        return base_url.rstrip("/")
    if "*" in settings.ALLOWED_HOSTS:
        raise ConfigurationError(
            'ALLOWED_HOSTS lets any Host through: add MAIL_OAUTH["BASE_URL"] = "https://your.site".'
        )
    return request.build_absolute_uri("/").rstrip("/")


LONGEST_NEXT = 2000


def safe_next(request: HttpRequest, url: str) -> str:
    """Return `url`, an absolute path or URL, if it leads to this very site, else an empty string."""
    if len(url) > LONGEST_NEXT or not url.isprintable() or not url.startswith(("/", "http://", "https://")):
        return ""
    ours = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if ours else ""


def after_connecting(request: HttpRequest, next_url: str) -> str:
    """Return where a user goes after connecting; `next_url` is checked once more."""
    return safe_next(request, next_url) or resolve_url(app_settings().success_url)
