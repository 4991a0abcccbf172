"""The calls that this app makes: token requests by requests-oauthlib, and plain GETs and POSTs.

Replies come back raw, as `HttpReply`: oauthlib's own parser is never reached, because it raises *after* a
provider has rotated a refresh token (on a narrower scope, an odd `expires_in`, an array …).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import quote_plus, urlencode

import requests
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.redaction import hide_secrets_in_logs
from mail_oauth.tokens import HttpReply, Secret
from mail_oauth.transport.addresses import address_problem
from mail_oauth.transport.deadlines import deadline
from mail_oauth.transport.pool import adapter

hide_secrets_in_logs()

_HEADERS = {"User-Agent": requests.utils.default_user_agent(), "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}

ClientAuth = Literal["post", "basic", "none"]
"""How a client shows who it is (OIDC Core §9): in the body, by HTTP Basic, or not at all."""


class _Captured(Exception):
    """Carries the raw reply out of requests-oauthlib before anything parses it."""

    def __init__(self, reply: HttpReply) -> None:
        self.reply = reply


class PooledSession(OAuth2Session):
    """An OAuth2Session on the process's pool that hands out raw replies."""

    def __init__(self, client_id: str = "") -> None:
        """Make a session; cheap, since the pool and its certificates are shared."""
        super().__init__(client_id)
        self.register_compliance_hook("access_token_response", _capture)
        self.register_compliance_hook("refresh_token_response", _capture)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request over the shared adapter, and nothing else.

        What a session of requests does besides (cookies, redirects, which would carry a token elsewhere, the
        environment) is not wanted here, and takes as long as the rest of the call.
        """
        settings, request, data = app_settings(), requests.PreparedRequest(), kwargs.get("data")
        headers = {**_HEADERS, **(kwargs.get("headers") or {})}
        if isinstance(data, Mapping):
            data = urlencode(data)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        request.prepare(method=method, url=url, headers=headers, data=data, auth=kwargs.get("auth"))
        return adapter().send(request, timeout=(settings.connect_timeout, settings.read_timeout))


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEndpoint:
    """A token endpoint (RFC 6749 §3.2) and the client that calls it."""

    url: str
    client_id: str
    client_secret: Secret | None = None
    client_auth: ClientAuth = "post"

    @keeps_locals_in
    def redeem(self, code: Secret, *, redirect_uri: str, code_verifier: Secret | None) -> HttpReply:
        """Exchange an authorization code (RFC 6749 §4.1.3). Raises `TransportError`."""
        extra: dict[str, Any] = {"code_verifier": code_verifier.reveal()} if code_verifier else {}
        session = _session(self.client_id)
        session.redirect_uri = redirect_uri
        arguments = self._authentication()
        arguments.pop("client_id", None)
        arguments["include_client_id"] = self.client_auth != "basic"
        return _perform(self.url, lambda: session.fetch_token(self.url, code=code.reveal(), **arguments, **extra))

    @keeps_locals_in
    def refresh(self, refresh_token: Secret, *, scope: str = "") -> HttpReply:
        """Spend a refresh token (RFC 6749 §6). Raises `TransportError`."""
        session = _session(self.client_id)
        session.scope = scope.split() or None
        return _perform(
            self.url,
            lambda: session.refresh_token(
                self.url, refresh_token=refresh_token.reveal(), **self._authentication()
            ),
        )

    @keeps_locals_in
    def revoke(self, url: str, token: Secret) -> HttpReply:
        """Withdraw a token at a revocation endpoint (RFC 7009 §2.1). Raises `TransportError`."""
        fields = {"token": token.reveal(), **self._authentication()}
        return post_form(url, fields, auth=fields.pop("auth", None))

    def _authentication(self) -> dict[str, Any]:
        """Return what requests-oauthlib takes to authenticate the client."""
        secret = self.client_secret.reveal() if self.client_secret else ""
        if self.client_auth == "basic":  # RFC 6749 §2.3.1: both are form-encoded first
            return {"auth": HTTPBasicAuth(quote_plus(self.client_id), quote_plus(secret))}
        if self.client_auth == "none" or not secret:
            return {"client_id": self.client_id}
        return {"client_id": self.client_id, "client_secret": secret}


@keeps_locals_in
def fetch_json(url: str, *, bearer: Secret | None = None) -> HttpReply:
    """GET a JSON document, with an access token if one is given. Raises `TransportError`."""
    headers = {"Accept": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer.reveal()}"
    return _perform(url, lambda: _reply(_session("").get(url, headers=headers)))


@keeps_locals_in
def post_form(url: str, fields: Mapping[str, str], *, auth: Any = None) -> HttpReply:
    """POST form fields. Raises `TransportError`."""
    return _perform(url, lambda: _reply(_session("").post(url, data=dict(fields), auth=auth)))


_local = threading.local()


def _session(client_id: str) -> PooledSession:
    """Return this thread's session for a client: sessions are not safe to share, the pool is."""
    sessions: dict[str, PooledSession] = _local.__dict__.setdefault("sessions", {})
    if client_id not in sessions:
        sessions[client_id] = PooledSession(client_id)
    return sessions[client_id]


def _reply(response: requests.Response) -> HttpReply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpReply(status=response.status_code, body=response.content, headers=headers)


def _capture(response: requests.Response) -> NoReturn:
    raise _Captured(_reply(response))


def _perform(url: str, call: Any) -> HttpReply:
    """Run `call` within the total deadline, and give what went wrong a cause."""
    problem = address_problem(url)
    if problem:
        raise ConfigurationError(problem)
    try:
        with deadline(app_settings().total_timeout):
            reply: HttpReply = call()
            return reply
    except _Captured as captured:
        return captured.reply
    except requests.RequestException as error:
        fault = _fault(error)
    raise fault from None  # and not from within: its context would be the error, with the request and its secrets


_FAULTS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (requests.exceptions.ConnectTimeout, "", "connect_timeout", False),
    (requests.exceptions.ProxyError, "", "proxy", False),
    (requests.exceptions.SSLError, "CERTIFICATE", "tls", False),
    (requests.exceptions.SSLError, "", "tls", True),
    (requests.exceptions.ConnectionError, "resolve", "dns", False),
    (requests.exceptions.ConnectionError, "establish a new connection", "refused", False),
    (requests.exceptions.Timeout, "", "timeout", True),
    (requests.exceptions.RequestException, "", "reset", True),
)
"""By type and text of the error: the cause, and whether the request may have been carried out."""


def _fault(error: requests.RequestException) -> TransportError:
    cause, outcome_unknown = next(
        (cause, unknown)
        for kind, words, cause, unknown in _FAULTS
        if isinstance(error, kind) and words in str(error)
    )
    message = f"The provider's endpoint did not answer ({cause})."
    return TransportError(message, cause=cause, outcome_unknown=outcome_unknown)
