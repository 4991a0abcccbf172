"""The peers: how other packages keep, give out and refresh tokens, each as its own documentation has it.

`peers()` brings those that are installed, and the reason for each that is not. The package is a Django app, for
the one model that a peer's documentation tells its users to write.
"""

from __future__ import annotations

import importlib
from typing import ClassVar, Protocol

PEERS = {
    "requests-oauthlib": "benchmarks.peers.plain.RequestsOAuthlib",
    "django-allauth": "benchmarks.peers.allauth.Allauth",
    "social-auth-app-django": "benchmarks.peers.social.SocialAuth",
    "Authlib": "benchmarks.peers.authlib.Authlib",
    "msal": "benchmarks.peers.msal.Msal",
}
"""By the name of the distribution."""

INSTALLED_APPS = {
    "allauth": ["allauth", "allauth.account", "allauth.socialaccount"],
    "social_django": ["social_django"],
}
"""What a peer adds to the settings, by the module that it needs."""


class Peer(Protocol):
    """One package that holds tokens for many accounts.

    `setup` brings it to that many accounts, never to fewer; `read` gives out the next account's access token, and
    `refresh` refreshes it and keeps what came. `most` is how many accounts it is measured with, at the most.
    `reading` and `refreshing` say in words what is called; they are empty where the package has no such thing.
    """

    most: ClassVar[int | None]
    reading: ClassVar[str]
    refreshing: ClassVar[str]

    def setup(self, accounts: int) -> None:
        """Hold so many accounts."""

    def read(self) -> str:
        """Return an access token."""

    def refresh(self) -> str:
        """Return a new access token; it and its refresh token are kept where the peer keeps them."""


def peers(token_url: str) -> tuple[dict[str, Peer], dict[str, str]]:
    """Return the peers by name, which refresh at `token_url`, and why others are missing."""
    found: dict[str, Peer] = {}
    missing: dict[str, str] = {}
    for name, path in PEERS.items():
        module, _, attribute = path.rpartition(".")
        try:
            found[name] = getattr(importlib.import_module(module), attribute)(token_url)
        except ImportError as error:
            missing[name] = str(error)
    return found, missing
