"""Settings that lead a site's providers to the fake one, for as long as a test lasts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from django.conf import settings
from django.test.utils import override_settings

from mail_oauth.managers import app_tokens
from mail_oauth.managers.background import threads
from mail_oauth.managers.counts import tally
from mail_oauth.managers.health import board
from mail_oauth.near import near_copies
from mail_oauth.providers.google import Google
from mail_oauth.providers.microsoft import Microsoft
from mail_oauth.providers.oidc import OpenIDConnect
from mail_oauth.providers.registry import provider_class
from mail_oauth.testing.fence import fenced
from mail_oauth.testing.provider import FakeProvider
from mail_oauth.usage import uses

HOST: Final = "127.0.0.1"
PUBLIC_CLIENT_ID: Final = "fake-provider-public-client"
"""The client of providers that know no secret (RFC 6749 section 2.1)."""

THREAD_SECONDS: Final = 20
"""For so long a test's end waits for refreshes that run behind it."""

_ENDPOINTS: Final = {
    "AUTHORIZE_URL": "authorize",
    "TOKEN_URL": "token",
    "REVOKE_URL": "revoke",
    "USERINFO_URL": "userinfo",
    "JWKS_URL": "jwks",
    "ISSUER": "issuer",
}
_OTHER_PLACES: Final = ("CLOUD", "CLIENT_CERTIFICATE", "FEDERATED_TOKEN_FILE", "SERVICE_ACCOUNT")
"""Options that would lead elsewhere, or want a key or a token that only production has: the fake takes its own."""
_LEFT_OUT: Final[tuple[str, ...]] = ("PROXY", "VERIFY_CONNECT")
"""Settings that would have tests speak to others than the fake; whoever asks for them has them."""


def provider_settings(provider: FakeProvider) -> dict[str, Any]:
    """`MAIL_OAUTH` with one alias for each of the fake's personalities: microsoft, google, keycloak and plain."""
    return pointed_at(
        provider,
        {
            "PROVIDERS": {
                "microsoft": {},
                "google": {},
                "keycloak": {
                    "CLASS": "oidc",
                    "NAME": "Keycloak",
                    "SCOPES": ["openid", "email", "offline_access", "mail"],
                },
                "plain": {"CLASS": "oauth2", "NAME": "Plain", "SCOPES": ["mail", "offline_access"]},
            }
        },
    )


def pointed_at(provider: FakeProvider, mail_oauth: Mapping[str, Any]) -> dict[str, Any]:
    """A site's own `MAIL_OAUTH`, with every provider led to the fake; names, scopes and all else stay.

    Only ``PROXY`` and ``VERIFY_CONNECT`` are left out (no proxy and no mail server is called unless a test asks for it), and
    a ``CA_BUNDLE`` that this machine has not.
    The fake sends users back to the site's ``BASE_URL``, too.

    No key, certificate or secret of the site's is read: an alias has the fake's own secret, and one of Google's with
    ``"ACCESS": "app"`` a service account that is made up. Raises `ConfigurationError` for a ``CLASS`` that there is not.
    """
    providers = mail_oauth.get("PROVIDERS", {})
    if base_url := mail_oauth.get("BASE_URL"):
        provider.add_site(base_url)
    kept = {name: value for name, value in mail_oauth.items() if name not in _LEFT_OUT}
    if "CA_BUNDLE" in kept and not Path(kept["CA_BUNDLE"] or "").exists():  # it lies where the site runs
        del kept["CA_BUNDLE"]
    return {
        **kept,
        "PRIVATE_HOSTS": [*dict.fromkeys((*mail_oauth.get("PRIVATE_HOSTS", ()), HOST))],
        "PROVIDERS": {alias: _led(provider, alias, options) for alias, options in providers.items()},
    }


def personality_of(alias: str, options: Mapping[str, Any]) -> str:
    """Which of the fake's personalities plays the provider of an alias."""
    found = provider_class(alias, options)
    if issubclass(found, Microsoft):
        return "microsoft"
    if issubclass(found, Google):
        return "google"
    return "oidc" if found.names_account else "plain"


def _led(provider: FakeProvider, alias: str, options: Mapping[str, Any]) -> dict[str, Any]:
    found, personality = provider_class(alias, options), personality_of(alias, options)
    kept = {name: value for name, value in options.items() if name not in _OTHER_PLACES}
    kept |= {"CLIENT_ID": provider.client_id, "CLIENT_SECRET": provider.client_secret}
    if options.get("CLIENT_AUTH", found.client_auth) == "none":
        kept |= {"CLIENT_ID": PUBLIC_CLIENT_ID, "CLIENT_SECRET": ""}
        provider.add_client(PUBLIC_CLIENT_ID, None)
    if personality == "microsoft":
        return {**kept, "AUTHORITY": f"{provider.url}/microsoft"}
    urls = provider.urls(personality)
    if issubclass(found, Google) and options.get("ACCESS", found.access) == "app":
        kept["SERVICE_ACCOUNT"] = provider.spare_service_account()
    if issubclass(found, OpenIDConnect):
        return {**kept, "ISSUER": urls["issuer"]}
    if personality in {
        "oidc",
        "plain",
    }:  # both give a refresh token for this scope alone, which Yahoo does not know
        scopes = options.get("SCOPES", found.scopes)
        kept["SCOPES"] = [*dict.fromkeys((*scopes, "offline_access"))]
    return {**kept, **{name: urls[kind] for name, kind in _ENDPOINTS.items() if kind in urls}}


def site_settings(provider: FakeProvider, **changes: Any) -> dict[str, Any]:
    """The `MAIL_OAUTH` of now, led to ``provider``; ``changes`` are keys of it, and their providers are led there too.

    A site without providers gets those of `provider_settings`.
    """
    ours = {**getattr(settings, "MAIL_OAUTH", {}), **changes}
    theirs = ours.get("PROVIDERS") or provider_settings(provider)["PROVIDERS"]
    asked_for = {name: changes[name] for name in _LEFT_OUT if name in changes}
    return {**pointed_at(provider, {**ours, "PROVIDERS": theirs}), **asked_for}


@contextmanager
def configured(provider: FakeProvider, **changes: Any) -> Iterator[None]:
    """Have `site_settings` inside a ``with`` block, and leave nothing of a test behind, as `clean_slate` says."""
    with clean_slate(provider), override_settings(MAIL_OAUTH=site_settings(provider, **changes)):
        yield


@contextmanager
def clean_slate(provider: FakeProvider) -> Iterator[None]:
    """Let plain http be spoken to ``provider`` inside a ``with`` block, and nothing to anybody else (`fenced`).

    It begins without calls; at its end ``provider`` is as it was at its beginning (`FakeProvider.restored`), and this
    process has forgotten what it kept in its memory, so that no test meets another's.
    """
    provider.clear_calls()
    environment = {"OAUTHLIB_INSECURE_TRANSPORT": "1"}
    for name in ("no_proxy", "NO_PROXY"):  # the machine's own proxy is not asked for the fake
        environment[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
    with provider.restored(), fenced(), patch.dict(os.environ, environment):
        try:
            yield
        finally:
            forget()


def forget() -> None:
    """Wait for refreshes that run behind this test, and forget what this process remembers of mailboxes."""
    threads.dismiss(THREAD_SECONDS)
    board.forget()
    tally.forget()
    near_copies.clear()
    uses.clear()
    app_tokens.forget()
