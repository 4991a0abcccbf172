"""The provider as the tests see it: a process to start, and its own records to look into."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from mail_oauth.tokens import Secret
from tests.services import Server
from tests.toolkit.provider.people import CLIENT_ID, CLIENT_SECRET

ROOT = Path(__file__).resolve().parents[2]


class Toolkit(Server):
    """django-oauth-toolkit on a loopback port, with a database of its own."""

    accounts = ()  # whoever runs the tests: others may not read this checkout and its virtual environment
    driver = "oauth2_provider"

    def find_programs(self) -> None:
        """Python is there."""

    def prepare(self) -> None:
        self.data.mkdir()

    def command(self) -> list[str]:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.toolkit.provider.settings",
            "PYTHONPATH": ROOT,
            "TOOLKIT_DIRECTORY": self.directory,
            "TOOLKIT_PORT": self.port,
        }
        assignments = [f"{name}={value}" for name, value in environment.items()]
        return ["env", *assignments, sys.executable, "-W", "error", "-m", "tests.toolkit.provider.serve"]

    def ready(self) -> bool:
        try:
            return self._get("/.well-known/openid-configuration").ok
        except requests.ConnectionError:
            return False

    @property
    def url(self) -> str:
        """The issuer."""
        return f"http://127.0.0.1:{self.port}/o"

    # --- what anybody may ask it ---

    def accepts(self, access_token: str) -> bool:
        """Whether its userinfo endpoint takes an access token."""
        return self._get("/userinfo/", headers={"Authorization": f"Bearer {access_token}"}).ok

    def spend(self, refresh_token: Secret) -> dict[str, Any]:
        """Refresh as somebody who got hold of the token and of the client's secret; the reply's fields."""
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token.reveal(),
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        with requests.Session() as session:
            session.trust_env = False
            reply: dict[str, Any] = session.post(f"{self.url}/token/", data=fields, timeout=10).json()
        return reply

    def _get(self, path: str, **how: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.url + path, timeout=10, **how)

    # --- what only its operator sees ---

    def calls(self, path: str, grant_type: str = "") -> list[int]:
        """The status of each call of an endpoint since the last `forget()`."""
        lines = [json.loads(line) for line in (self.directory / "access.log").read_text().splitlines()]
        return [
            line["status"] for line in lines if line["path"] == f"/o{path}" and line["grant_type"] == grant_type
        ]

    @property
    def refreshes(self) -> list[int]:
        """The status of each refresh, whoever asked for it."""
        return self.calls("/token/", "refresh_token")

    @property
    def live_tokens(self) -> set[str]:
        """The checksums of the access and refresh tokens that it has not revoked."""
        return {
            *self._tables("SELECT token_checksum FROM oauth2_provider_accesstoken"),
            *self._tables("SELECT token_checksum FROM oauth2_provider_refreshtoken WHERE revoked IS NULL"),
        }

    def keeps(self, token: str) -> bool:
        """Whether a token, of either kind, is live."""
        return hashlib.sha256(token.encode()).hexdigest() in self.live_tokens

    def let_access_tokens_expire(self) -> None:
        """Move every access token's life into the past."""
        self._tables("UPDATE oauth2_provider_accesstoken SET expires = '2000-01-01 00:00:00'")

    def forget(self) -> None:
        """Drop what it issued and what it logged; people and clients stay."""
        for kind in ("refreshtoken", "accesstoken", "idtoken", "grant"):
            self._tables(f"DELETE FROM oauth2_provider_{kind}")
        (self.directory / "access.log").write_text("")

    def _tables(self, statement: str) -> list[str]:
        with closing(sqlite3.connect(self.data / "db.sqlite3", timeout=20)) as connection, connection:
            return [value for (value,) in connection.execute(statement)]
