"""Authlib: a session that refreshes; the table, its query and its update are its users', by the documentation."""

from __future__ import annotations

import time
from typing import Any

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749 import OAuth2Token as Token
from django.contrib.auth.models import User

from benchmarks.peers.accounts import EXPIRES_IN, access_token, fill, refresh_token, sample, sampled_users
from benchmarks.peers.models import OAuth2Token

NAME = "microsoft"


def fetch_token(name: str, user: User) -> dict[str, object]:
    """What its registry of clients is given to find the token of a request's user."""
    return OAuth2Token.objects.get(name=name, user=user).to_token()


def update_token(token: dict[str, Any], refresh_token: str) -> None:
    """What its sessions are given to keep a refreshed token."""
    item = OAuth2Token.objects.get(name=NAME, refresh_token=refresh_token)
    item.access_token = token["access_token"]
    item.refresh_token = token.get("refresh_token", "")
    item.expires_at = token["expires_at"]
    item.save()


class Authlib:
    """`fetch_token`, and `OAuth2Session.refresh_token` with `update_token`."""

    most = None
    reading = "fetch_token(name, request): OAuth2Token.objects.get(name=…, user=…).to_token(), and is_expired()"
    refreshing = "OAuth2Session(client_id, client_secret, token=…, update_token=…).refresh_token(url)"

    def __init__(self, token_url: str) -> None:
        """Refresh at `token_url`."""
        self.token_url = token_url

    def setup(self, accounts: int) -> None:
        """One token for each user."""
        columns = {
            "name": f"'{NAME}'",
            "token_type": "'Bearer'",
            "access_token": "'short'",
            "refresh_token": "'short' || number",
            "expires_at": "0",
            "user_id": "number",
        }
        fill(OAuth2Token, accounts, columns)
        for number in sample(accounts):
            OAuth2Token.objects.filter(user_id=number).update(
                access_token=access_token(number),
                refresh_token=refresh_token(number),
                expires_at=int(time.time()) + EXPIRES_IN,
            )
        self.users = sampled_users(accounts)

    def read(self) -> str:
        """Query a user's token, and look whether it has expired."""
        token = Token(fetch_token(NAME, next(self.users)))
        if token.is_expired():
            raise AssertionError("a token of the benchmark expired")
        return str(token["access_token"])

    def refresh(self) -> str:
        """Refresh by a session for this token, which has it saved."""
        session = OAuth2Session(
            "bench", "bench-secret", token=fetch_token(NAME, next(self.users)), update_token=update_token
        )
        return str(session.refresh_token(self.token_url)["access_token"])
