"""The revocation endpoint is found where RFC 8414 puts it, and where others do; its absence is no fault."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mail_oauth.exceptions import TransportError
from mail_oauth.providers import provider_for

DISCOVERY = "/tenant/.well-known/openid-configuration"
BEFORE = "/.well-known/oauth-authorization-server/tenant"
BEHIND = "/tenant/.well-known/oauth-authorization-server"
REVOKE = "https://idp.example/revoke"


class Pages(BaseHTTPRequestHandler):
    """Answers with what the server's `pages` hold: a document, or a status."""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path, 404)  # type: ignore[attr-defined]
        self.send_response(page if isinstance(page, int) else 200)
        body = b"<html>" if isinstance(page, int) else json.dumps(page).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def revocation_url(settings, monkeypatch) -> Iterator[Callable[[dict[str, object]], str]]:
    """The revocation endpoint of a provider that serves these pages, which name its issuer unless told otherwise."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    issuer = f"http://127.0.0.1:{server.server_port}/tenant"
    options = {"CLASS": "oidc", "CLIENT_ID": "x", "ISSUER": issuer}
    settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["127.0.0.1"], "PROVIDERS": {"toolkit": options}}

    def ask(pages: dict[str, object]) -> str:
        named = {
            path: {"issuer": issuer, **page} if isinstance(page, dict) else page for path, page in pages.items()
        }
        server.pages = {DISCOVERY: {"issuer": issuer}, **named}  # type: ignore[attr-defined]
        return provider_for("toolkit").revocation_url()

    yield ask
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ({DISCOVERY: {"revocation_endpoint": REVOKE}, BEFORE: 500}, REVOKE),
        ({BEFORE: {"revocation_endpoint": REVOKE}, BEHIND: 500}, REVOKE),
        ({BEHIND: {"revocation_endpoint": REVOKE}}, REVOKE),
        ({BEFORE: 200, BEHIND: {"revocation_endpoint": REVOKE}}, REVOKE),  # a page for whatever is not there
        ({BEFORE: {"issuer": "https://evil.example", "revocation_endpoint": REVOKE}}, ""),
        ({BEFORE: {}}, ""),
        ({BEFORE: {"revocation_endpoint": [REVOKE]}}, ""),
        ({}, ""),
    ],
    ids=[
        "discovery",
        "before_the_path",
        "behind_it",
        "catch_all",
        "another_issuer",
        "named_nowhere",
        "no_url",
        "no_metadata",
    ],
)
def test_what_is_found(revocation_url, pages, found):
    assert revocation_url(pages) == found


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_fails_is_asked_again_later(revocation_url, status):
    with pytest.raises(TransportError):
        revocation_url({BEFORE: status})
