"""requests-oauthlib by itself: it holds no tokens, and refreshes by a session per call."""

from __future__ import annotations

import itertools

from requests_oauthlib import OAuth2Session

from benchmarks.peers.accounts import access_token, refresh_token


class RequestsOAuthlib:
    """The workflow "refreshing tokens" of its documentation, without anything that saves the result."""

    most = None
    reading = ""
    refreshing = "OAuth2Session(client_id, token=token).refresh_token(url, client_id=…, client_secret=…)"

    def __init__(self, token_url: str) -> None:
        """Refresh at `token_url`."""
        self.token_url = token_url
        self.numbers = itertools.count(1)

    def setup(self, accounts: int) -> None:
        """Nothing: where tokens are kept is left to its users."""

    def read(self) -> str:
        """There is nothing to read from."""
        raise NotImplementedError

    def refresh(self) -> str:
        """Refresh one token, which nothing keeps."""
        number = next(self.numbers)
        token = {
            "access_token": access_token(number),
            "refresh_token": refresh_token(number),
            "token_type": "Bearer",
            "expires_in": -30,
        }
        session = OAuth2Session("bench", token=token)
        found = session.refresh_token(self.token_url, client_id="bench", client_secret="bench-secret")  # noqa: S106
        return str(found["access_token"])
