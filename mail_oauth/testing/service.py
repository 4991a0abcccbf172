"""The endpoints as they behave when nothing goes wrong: from a route and a request to the true reply."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from oauthlib.common import extract_params
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing.authorization import Authorization
from mail_oauth.testing.discovery import discovery_document
from mail_oauth.testing.endpoints import Endpoints, Introspection
from mail_oauth.testing.messages import Headers, Incoming, Reply, json_reply
from mail_oauth.testing.personalities import Route
from mail_oauth.testing.refusals import error_body
from mail_oauth.testing.store import Store
from mail_oauth.testing.validator import Validator

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "authorize": ("GET", "POST"),
    "token": ("POST",),
    "revoke": ("POST",),
    "introspect": ("POST",),
    "userinfo": ("GET", "POST"),
    "jwks": ("GET",),
    "discovery": ("GET",),
}
_BASIC: Final[Headers] = (("WWW-Authenticate", 'Basic realm="fake provider"'),)


class Service:
    """The endpoints of one personality."""

    def __init__(self, rules: Validator, store: Store) -> None:
        self._rules = rules
        self._store = store
        self._endpoints = Endpoints(rules)
        introspection = Introspection(rules)
        self._authorization = Authorization(self._endpoints, store)
        self._handlers: dict[str, Callable[[Route, Incoming], Reply]] = {
            "authorize": self._authorization.handle,
            "token": lambda _route, incoming: self._oauth(self._endpoints.create_token_response, incoming),
            "revoke": lambda _route, incoming: self._oauth(self._endpoints.create_revocation_response, incoming),
            "introspect": lambda _route, incoming: self._oauth(introspection.create_introspect_response, incoming),
            "userinfo": lambda _route, incoming: self._userinfo(incoming),
            "jwks": lambda _route, _incoming: json_reply(rules.keys.jwks()),
            "discovery": lambda route, _incoming: self._discovery(route),
        }

    def serve(self, route: Route, incoming: Incoming) -> Reply:
        """The true reply, with its change to the store done."""
        methods = METHODS[route.endpoint]
        if incoming.method not in methods:
            return json_reply({"error": "invalid_request"}, 405, (("Allow", ", ".join(methods)),))
        # One transition round look-up, judgement, rotation and save: of many that spend one token, one wins.
        with self._store.transition():
            return self._handlers[route.endpoint](route, incoming)

    def _discovery(self, route: Route) -> Reply:
        document = discovery_document(self._rules.personality, self._rules.base_url(), route.tenant or "common")
        return json_reply(document)

    def _oauth(self, endpoint: Callable[..., Any], incoming: Incoming) -> Reply:
        """Call an oauthlib endpoint; its refusals get the personality's words."""
        reply = _call(endpoint, incoming)
        if reply.is_success:
            return reply
        refused = reply.json()
        error, description = str(refused.get("error")), str(refused.get("error_description", ""))
        worded = error_body(self._rules.personality.name, error, description)
        # RFC 6749 section 5.2: a client that failed to authenticate is told how it may.
        return json_reply(worded, reply.status, _BASIC if reply.status == 401 else ())

    def _userinfo(self, incoming: Incoming) -> Reply:
        """Here oauthlib's own refusal stands, with its challenge for a bearer token (RFC 6750 section 3)."""
        return _call(self._endpoints.create_userinfo_response, incoming)


def _call(endpoint: Callable[..., Any], incoming: Incoming) -> Reply:
    if extract_params(incoming.body) is None:
        # What is no form, oauthlib leaves unparsed and then stumbles over.
        return json_reply({"error": "invalid_request"}, 400)
    try:
        headers, body, status = endpoint(
            incoming.target, http_method=incoming.method, body=incoming.body, headers=dict(incoming.headers)
        )
    except errors.OAuth2Error as error:
        headers, body, status = error.headers, error.json, error.status_code
    except ValueError:  # oauthlib's word for a query that is not URL-encoded
        headers, body, status = {}, json.dumps({"error": "invalid_request"}), 400
    typed = {"Content-Type": "application/json", **headers}
    return Reply(status=status, headers=tuple(typed.items()), body=(body or "").encode())
