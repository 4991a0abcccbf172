"""MSAL: tokens in clear in a cache in memory, which its lookups walk through."""

from __future__ import annotations

import base64
import itertools
import json

import msal
from urllib3.util import parse_url

from benchmarks.peers.accounts import EXPIRES_IN, access_token, refresh_token, sample

SCOPE = "https://outlook.office.com/IMAP.AccessAsUser.All"


class Msal:
    """`ConfidentialClientApplication.acquire_token_silent` for one of many accounts in one cache."""

    most = 10_000
    reading = "app.acquire_token_silent(scopes, account=app.get_accounts(username=…)[0])"
    refreshing = "app.acquire_token_silent(scopes, account=…, force_refresh=True)"

    def __init__(self, token_url: str) -> None:
        """Refresh at the authority of `token_url`, whose discovery document the endpoint serves."""
        self.token_url = token_url
        self.host = parse_url(token_url).host
        self.held = 0

    def setup(self, accounts: int) -> None:
        """Add accounts to the cache as a sign-in does."""
        if not self.held:
            self.app = msal.ConfidentialClientApplication(
                "bench",
                client_credential="bench-secret",
                oidc_authority=self.token_url.removesuffix("/token"),
                instance_discovery=False,
            )
        for number in range(self.held + 1, accounts + 1):
            self.app.token_cache.add(self._sign_in(number))
        self.held = max(self.held, accounts)
        self.names = itertools.cycle([f"user{number}@example.com" for number in sample(accounts)])

    def read(self) -> str:
        """Find the account, and its token in the cache."""
        return self._acquire(force_refresh=False)

    def refresh(self) -> str:
        """Find the account, refresh, and add what came to the cache."""
        return self._acquire(force_refresh=True)

    def _acquire(self, *, force_refresh: bool) -> str:
        accounts = self.app.get_accounts(username=next(self.names))
        found = self.app.acquire_token_silent([SCOPE], account=accounts[0], force_refresh=force_refresh)
        return str(found["access_token"])

    def _sign_in(self, number: int) -> dict[str, object]:
        """The event that MSAL makes of the reply to a sign-in (`TokenCache.add`)."""
        return {
            "client_id": "bench",
            "scope": [SCOPE],
            "environment": self.host,
            "token_endpoint": self.token_url,
            "grant_type": "authorization_code",
            "response": {
                "access_token": access_token(number),
                "refresh_token": refresh_token(number),
                "token_type": "Bearer",
                "expires_in": EXPIRES_IN,
                "id_token_claims": {
                    "sub": f"subject{number}",
                    "oid": f"subject{number}",
                    "preferred_username": f"user{number}@example.com",
                },
                "client_info": _encoded({"uid": f"subject{number}", "utid": "tenant"}),
            },
        }


def _encoded(claims: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
