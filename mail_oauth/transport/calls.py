"""The calls that this app makes: token requests, formed by requests-oauthlib, and plain GETs and POSTs.

A token request is taken from requests-oauthlib by its hooks as soon as it is formed, and sent over the pool.
Replies come back raw, as `HttpReply`: oauthlib's own parser is never reached, because it raises *after* a
provider has rotated a refresh token (on a narrower scope, an odd `expires_in`, an array …).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn
from urllib.parse import quote_plus, urlencode

from requests.utils import default_user_agent
from requests_oauthlib import OAuth2Session
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import make_headers

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.redaction import hide_secrets_in_logs
from mail_oauth.tokens import HttpReply, Secret
from mail_oauth.transport.addresses import address_problem
from mail_oauth.transport.connections import BadReply
from mail_oauth.transport.deadlines import deadline_within
from mail_oauth.transport.pool import pool

hide_secrets_in_logs()

_HEADERS = {
    "User-Agent": default_user_agent(),
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
}
_FORM = {**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}

ClientAuth = Literal["post", "basic", "none"]
"""How a client shows its secret (OIDC Core §9): in the body, by HTTP Basic, or not at all."""

ClientAssertion = Callable[[str], Secret]
"""Makes a client's assertion for a token endpoint, each time a new one. It can be compared and hashed. Raises `ConfigurationError`."""

_BY_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""The grant type of RFC 7523 §2.1."""


class _Answered(Exception):
    """Carries the raw reply out of requests-oauthlib before anything parses it."""

    def __init__(self, reply: HttpReply) -> None:
        self.reply = reply


def _send(url: str, headers: Mapping[str, str], form: Any) -> NoReturn:
    """Send the token request that requests-oauthlib has formed: encoded, or as keywords of a request."""
    raise _Answered(_post(url, headers, form if isinstance(form, str) else urlencode(form["data"])))


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEndpoint:
    """A token endpoint (RFC 6749 §3.2) and the client that calls it."""

    url: str
    client_id: str
    client_secret: Secret | None = None
    other_secrets: tuple[Secret, ...] = ()
    """Further secrets of the client, of which one may be right where the first is refused."""
    client_auth: ClientAuth = "post"
    assertions: tuple[ClientAssertion, ...] = field(default=(), repr=False)
    """Ways to show who the client is that are preferred to any secret (RFC 7523 §2.2): the first is used."""

    @property
    def credential(self) -> ClientAssertion | Secret | None:
        """What the client shows: an assertion, its secret, or nothing."""
        return self.assertions[0] if self.assertions else self.client_secret

    def by_each_secret(self) -> tuple[TokenEndpoint, ...]:
        """Return the endpoint once for each assertion and secret, the preferred one first; once where none is sent."""
        alone = replace(self, other_secrets=(), assertions=())
        asserted = tuple(replace(alone, client_secret=None, assertions=(each,)) for each in self.assertions)
        if asserted and not self.client_secret:
            return asserted
        others = () if self.client_auth == "none" else self.other_secrets
        return (*asserted, alone, *(replace(alone, client_secret=secret) for secret in others))

    @keeps_locals_in
    def redeem(
        self, code: Secret, *, redirect_uri: str, code_verifier: Secret | None, scope: str = ""
    ) -> HttpReply:
        """Exchange an authorization code (RFC 6749 §4.1.3), for a `scope` where it is given.

        Raises `TransportError`.
        """
        session = _session(self.client_id)
        session.redirect_uri = redirect_uri
        headers, fields = self._authentication()
        if code_verifier:
            fields["code_verifier"] = code_verifier.reveal()
        if scope:
            fields["scope"] = scope
        named = fields.pop("client_id", None) is not None  # requests-oauthlib adds it from the session
        return _perform(
            self.url,
            lambda: session.fetch_token(
                self.url, code=code.reveal(), headers=headers, include_client_id=named, **fields
            ),
        )

    @keeps_locals_in
    def refresh(self, refresh_token: Secret, *, scope: str = "") -> HttpReply:
        """Spend a refresh token (RFC 6749 §6). Raises `TransportError`."""
        session = _session(self.client_id)
        session.scope = scope.split() or None
        headers, fields = self._authentication()
        return _perform(
            self.url,
            lambda: session.refresh_token(
                self.url, refresh_token=refresh_token.reveal(), headers=headers, **fields
            ),
        )

    @keeps_locals_in
    def client_credentials(self, *, scope: str) -> HttpReply:
        """Ask for a token of the client's own (RFC 6749 §4.4.2). Raises `TransportError`."""
        headers, fields = self._authentication()
        form = {"grant_type": "client_credentials", "scope": scope, **fields}
        return _perform(self.url, lambda: _post(self.url, headers, urlencode(form)))

    @keeps_locals_in
    def exchange(self, assertion: Secret) -> HttpReply:
        """Ask for a token by an assertion, which says who asks and for whom (RFC 7523 §2.1). Raises `TransportError`."""
        form = {"grant_type": JWT_BEARER, "assertion": assertion.reveal()}
        return _perform(self.url, lambda: _post(self.url, _FORM, urlencode(form)))

    @keeps_locals_in
    def revoke(self, url: str, token: Secret) -> HttpReply:
        """Withdraw a token at a revocation endpoint (RFC 7009 §2.1). Raises `TransportError`."""
        headers, fields = self._authentication()
        return _perform(url, lambda: _post(url, headers, urlencode({"token": token.reveal(), **fields})))

    def _authentication(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the headers of a request, and the fields of its form that authenticate the client."""
        if self.assertions:
            shown = self.assertions[0](self.url).reveal()
            kind = {"client_assertion_type": _BY_ASSERTION, "client_assertion": shown}
            return _FORM, {"client_id": self.client_id, **kind}
        secret = self.client_secret.reveal() if self.client_secret else ""
        if self.client_auth == "basic":  # RFC 6749 §2.3.1: both are form-encoded first
            credentials = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
            return {**_FORM, **make_headers(basic_auth=credentials)}, {}
        if self.client_auth == "none" or not secret:
            return _FORM, {"client_id": self.client_id}
        return _FORM, {"client_id": self.client_id, "client_secret": secret}


@keeps_locals_in
def fetch_json(url: str, *, bearer: Secret | None = None) -> HttpReply:
    """GET a JSON document, with an access token if one is given. Raises `TransportError`."""
    headers = {**_HEADERS, "Authorization": f"Bearer {bearer.reveal()}"} if bearer else _HEADERS
    return _perform(url, lambda: pool().send("GET", url, headers))


@keeps_locals_in
def post_form(url: str, fields: Mapping[str, str]) -> HttpReply:
    """POST form fields. Raises `TransportError`."""
    return _perform(url, lambda: _post(url, _FORM, urlencode(fields)))


@keeps_locals_in
def post_bytes(url: str, body: bytes, *, content_type: str, bearer: Secret, seconds: float) -> HttpReply:
    """POST a body with an access token, within `seconds` in all. Raises `TransportError`."""
    headers = {**_HEADERS, "Content-Type": content_type, "Authorization": f"Bearer {bearer.reveal()}"}
    return _perform(url, lambda: pool().send("POST", url, headers, body, patience=seconds), seconds=seconds)


def _post(url: str, headers: Mapping[str, str], form: str) -> HttpReply:
    return pool().send("POST", url, headers, form.encode())


_local = threading.local()


def _session(client_id: str) -> OAuth2Session:
    """Return this thread's session for a client: it forms requests, and is not safe to share."""
    sessions: dict[str, OAuth2Session] = _local.__dict__.setdefault("sessions", {})
    if client_id not in sessions:
        session = sessions[client_id] = OAuth2Session(client_id)
        for moment in ("access_token_request", "refresh_token_request"):  # which its stubs do not know
            session.register_compliance_hook(moment, _send)  # type: ignore[call-overload]
    return sessions[client_id]


def _perform(url: str, call: Any, *, seconds: float | None = None) -> HttpReply:
    """Run `call` within the total deadline, that of several calls if one stands, and give what went wrong a cause.

    It is `TOTAL_TIMEOUT` unless `seconds` are given.
    """
    problem = address_problem(url)
    if problem:
        raise ConfigurationError(problem)
    try:
        with deadline_within(app_settings().total_timeout if seconds is None else seconds):
            reply: HttpReply = call()
            return reply
    except _Answered as answered:
        return answered.reply
    except HTTPError as error:
        fault = _fault(error)
    raise fault from None  # and not from within: its context would be the error, with the request and its secrets


_FAULTS: tuple[tuple[type[HTTPError], str, str, bool], ...] = (
    (ProxyError, "", "proxy", False),
    (SSLError, "CERTIFICATE", "tls", False),
    (SSLError, "", "tls", True),
    (NameResolutionError, "", "dns", False),
    (LocationParseError, "", "dns", False),  # a host that can be no name
    (NewConnectionError, "", "refused", False),
    (ConnectTimeoutError, "", "connect_timeout", False),
    (ReadTimeoutError, "", "timeout", True),
    (HTTPError, "", "reset", True),
)
"""By type and text of the error: the cause, and whether the request may have been carried out."""


def _fault(error: HTTPError) -> TransportError:
    if isinstance(error, BadReply):
        return TransportError(str(error), cause=error.cause, outcome_unknown=True)
    cause, outcome_unknown = next(
        (cause, unknown)
        for kind, words, cause, unknown in _FAULTS
        if isinstance(error, kind) and words in str(error)
    )
    message = f"The provider's endpoint did not answer ({cause})."
    return TransportError(message, cause=cause, outcome_unknown=outcome_unknown)
