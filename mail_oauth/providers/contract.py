"""What a provider is: endpoints, scopes, parameters and quirks as class-level data over one flow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar, get_args

from oauthlib.oauth2 import WebApplicationClient

from mail_oauth.conf import policy_problem
from mail_oauth.exceptions import ConfigurationError, ConnectRefused
from mail_oauth.providers.app_access import AppAccess
from mail_oauth.providers.claims import LONGEST_SUBJECT, address_claim, text_claim
from mail_oauth.providers.client_secrets import secrets_in
from mail_oauth.providers.documents import MAX_DOCUMENT, object_in
from mail_oauth.providers.id_tokens import verified_claims
from mail_oauth.providers.options import option_problems
from mail_oauth.providers.presence import Presence
from mail_oauth.tokens import Identity, MailEndpoint, MailServer, TokenSet
from mail_oauth.transport import ClientAuth, TokenEndpoint, address_problem, fetch_json

_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,64}")

ENDPOINTS = ("AUTHORIZE_URL", "TOKEN_URL", "REVOKE_URL", "USERINFO_URL", "JWKS_URL")
"""The options that name an endpoint."""


SENDING = ("smtp", "http", "auto")
"""The ways by which mail may go."""


class Revocation(Enum):
    """What became of a grant at its provider when its mailbox was disconnected."""

    REVOKED = "revoked"
    UNSUPPORTED = "unsupported"
    """The provider has no revocation endpoint: the user withdraws access in their account."""
    KEPT = "kept"
    """Another mailbox lives on the same grant."""
    FAILED = "failed"
    """It is tried again."""
    NOTHING = "nothing"
    """There was no grant: the app's own access ends when its administrator takes it away."""


class Provider(Presence, AppAccess):
    """Base of all providers. Options of the settings may replace any endpoint, scope or server by its name.

    Subclasses set data; methods are replaced only where a provider differs in kind.
    """

    authorize_url: ClassVar[str] = ""
    token_url: ClassVar[str] = ""
    revoke_url: ClassVar[str] = ""
    userinfo_url: ClassVar[str] = ""
    jwks_url: ClassVar[str] = ""
    issuer: ClassVar[str] = ""

    authorize_parameters: ClassVar[Mapping[str, str]] = {}
    uses_pkce: ClassVar[bool] = True
    client_auth: ClassVar[ClientAuth] = "post"
    names_account: ClassVar[bool] = True
    """Whether the provider tells whose mailbox it is; if not, the user types the address."""
    sends_issuer: ClassVar[bool] = False
    """Whether `iss` must stand in the callback (RFC 9207)."""
    revokes_whole_account: ClassVar[bool] = False
    """Whether revoking one token ends every grant of that account to this client."""
    grant_days: ClassVar[float | None] = None
    """After so many days without a refresh a grant ends; None where nobody can tell."""
    calls_per_second: ClassVar[float | None] = None
    """How many refreshes a second all workers together may ask for; None: as many as they can."""
    refresh_policy: ClassVar[str] = ""
    """Which of its mailboxes are kept warm (see `Policy`); empty: as the setting of that name says."""

    imap: ClassVar[MailServer | None] = None
    pop: ClassVar[MailServer | None] = None
    smtp: ClassVar[MailServer | None] = None
    mail_endpoint: ClassVar[MailEndpoint | None] = None
    """Where messages can be sent over HTTP as well."""
    sending: ClassVar[str] = "smtp"
    """By which way mail goes: `smtp`, `http`, or `auto`: by HTTP where SMTP is switched off."""
    sasl_mechanisms: ClassVar[tuple[str, ...]] = ("XOAUTH2", "OAUTHBEARER")
    """Those that the provider's mail servers take, the preferred one first; of them one is used that is offered."""
    OPTIONS: ClassVar[frozenset[str]] = frozenset(
        (
            "CLASS CLIENT_ID CLIENT_SECRET NAME SCOPES AUTHORIZE_URL TOKEN_URL REVOKE_URL USERINFO_URL "
            "JWKS_URL ISSUER ACCOUNT_URL AUTHORIZE_PARAMETERS CLIENT_AUTH USES_PKCE GRANT_DAYS CALLS_PER_SECOND "
            "REFRESH_POLICY RESOURCES IMAP POP SMTP MAIL_ENDPOINT SENDING ACCESS"
        ).split()
    )

    def __init__(self, alias: str, options: Mapping[str, Any]) -> None:
        """Take the options of one alias. Raises `ConfigurationError` that names what is missing."""
        self.alias = alias
        self.options = options
        for problem in self.problems():
            raise ConfigurationError(problem)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r}>"

    def problems(self) -> list[str]:
        """Say in full sentences what is wrong with the options."""
        where = f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]'
        found = option_problems(where, self.options, needed=self.needed_options(), known=self.OPTIONS)
        found += self.access_problems(where)
        if self.setting("CLIENT_AUTH") not in get_args(ClientAuth):
            found.append(f'{where}["CLIENT_AUTH"] is one of {", ".join(get_args(ClientAuth))}.')
        for option, what in (("GRANT_DAYS", "number of days"), ("CALLS_PER_SECOND", "number")):
            value = self.options.get(option, 1)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and value > 0):
                found.append(f'{where}["{option}"] is a {what} above zero, or None.')
        found += self._sending_problems(where)
        policy = self.setting("REFRESH_POLICY")
        if policy and (problem := policy_problem(f'{where}["REFRESH_POLICY"]', policy)):
            found.append(problem)
        if not _ALIAS.fullmatch(self.alias):  # it stands in URLs, and in a column
            found.append(f"{where}: an alias has up to 64 letters, digits, hyphens and underscores.")
        return found

    def _sending_problems(self, where: str) -> list[str]:
        sending, endpoint = self.setting("SENDING"), self.setting("MAIL_ENDPOINT")
        if sending not in SENDING:
            return [f'{where}["SENDING"] is one of {", ".join(SENDING)}.']
        if sending == "smtp" or not isinstance(endpoint, (MailEndpoint, type(None))):
            return []
        if endpoint is None:
            return [f'{where}: {self.name} takes no mail over HTTP: write "SENDING": "smtp".']
        resources = self.setting("RESOURCES")
        if endpoint.resource == "mail" or not isinstance(resources, Mapping) or endpoint.resource in resources:
            return []
        line = f'"RESOURCES": {{"{endpoint.resource}": [its scopes]}}'
        return [f'{where}["SENDING"] needs a token for {endpoint.resource}: write {line}.']

    def endpoint_problems(self) -> list[str]:
        """Say which endpoints may not be called (plain http, private addresses)."""
        urls = [self.setting(name) for name in ENDPOINTS]
        return [problem for url in urls if url and (problem := address_problem(url))]

    def setting(self, name: str) -> Any:
        """Return an option of the settings, else the class's own value, its `{placeholders}` filled in.

        Raises `ConfigurationError` for a placeholder that nobody fills in, as in Microsoft's own template of an issuer.
        """
        value = self.options.get(name, getattr(self, name.lower(), None))
        if not isinstance(value, str) or "{" not in value:
            return value
        try:
            return value.format(**self.placeholders())
        except (LookupError, ValueError, AttributeError):
            where = f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]["{name}"]'
        raise ConfigurationError(f"{where} has a placeholder that nobody fills in: write it out.")

    def placeholders(self) -> dict[str, str]:
        """Return what stands for the `{names}` in URLs."""
        return {}

    def token_endpoint(self) -> TokenEndpoint:
        """Return the token endpoint with this client's authentication, by the preferred one of its secrets."""
        secrets = secrets_in(self.options.get("CLIENT_SECRET"))
        return TokenEndpoint(
            url=self.setting("TOKEN_URL"),
            client_id=self.app_name,
            client_secret=secrets[0] if secrets else None,
            other_secrets=secrets[1:],
            assertions=self.client_assertions(),
            client_auth=self.setting("CLIENT_AUTH"),
        )

    def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, code_verifier: str, login_hint: str = ""
    ) -> str:
        """Return where to send the user's browser (RFC 6749 §4.1.1, RFC 7636 §4.3).

        Raises `ConfigurationError` where discovery leads to an address that may not be used.
        """
        url = self.setting("AUTHORIZE_URL")
        problem = address_problem(url)
        if problem:
            raise ConfigurationError(problem)
        client = WebApplicationClient(self.options["CLIENT_ID"])
        parameters = dict(self.setting("AUTHORIZE_PARAMETERS"))
        if login_hint:
            parameters["login_hint"] = login_hint
        if "openid" in self.requested_scopes:
            parameters["nonce"] = nonce
        if self.setting("USES_PKCE"):
            parameters["code_challenge"] = client.create_code_challenge(code_verifier, "S256")
            parameters["code_challenge_method"] = "S256"
        scopes: list[object] = list(self.consented_scopes)
        return str(client.prepare_request_uri(url, redirect_uri, scope=scopes, state=state, **parameters))

    def check_callback_issuer(self, iss: str | None) -> None:
        """Refuse an answer that another provider sent (RFC 9207 §2.4). Raises `ConnectRefused`."""
        expected = self.setting("ISSUER")
        if (iss is None and self.expects_issuer()) or (iss is not None and expected and iss != expected):
            raise ConnectRefused("wrong_issuer")

    def expects_issuer(self) -> bool:
        """Whether the provider advertises that its answers carry `iss`."""
        return self.sends_issuer

    def grant_ends_at(self, connected_at: datetime, used_at: datetime) -> datetime | None:
        """Estimate when a grant ends of which the provider does not say it; None where nobody can tell."""
        days = self.setting("GRANT_DAYS")
        return None if days is None else used_at + timedelta(days=days)

    def organisation(self, tenant: str) -> str:
        """Return the organisation that a mailbox of `tenant` shares its administrator with; empty where none."""
        return tenant

    def identity(self, tokens: TokenSet, *, nonce: str) -> Identity:
        """Return whose grant this is. Raises `ConnectRefused`, or `TransportError` for want of an answer.

        From the verified id_token; its address may have to come from userinfo, as does everything of a
        provider that is asked for no id_token.
        """
        if not self.names_account:
            return Identity()
        if "openid" in self.requested_scopes:
            identity = self._signed_identity(tokens, nonce)
        else:
            identity = self.identity_from({**self._userinfo(tokens), "iss": self.setting("ISSUER") or ""})
        if not 0 < len(identity.subject) <= LONGEST_SUBJECT:  # an empty one would be everybody's
            raise ConnectRefused("no_identity", "No usable subject was named.")
        return identity

    def _signed_identity(self, tokens: TokenSet, nonce: str) -> Identity:
        if tokens.id_token is None:
            raise ConnectRefused("no_id_token")
        claims = verified_claims(
            tokens.id_token,
            jwks_url=self.setting("JWKS_URL"),
            audience=self.options["CLIENT_ID"],
            nonce=nonce,
            issuer=self.accepts_issuer,
        )
        identity = self.identity_from(claims)
        if not identity.email and self.setting("USERINFO_URL"):
            answer = self._userinfo(tokens)
            if answer.get("sub") == claims["sub"]:  # OIDC Core §5.3.2: else it must not be used
                named = {name: answer.get(name) for name in ("email", "email_verified")}
                return self.identity_from({**claims, **named})
        return identity

    def _userinfo(self, tokens: TokenSet) -> dict[str, Any]:
        """Return the claims of the userinfo endpoint (OIDC Core §5.3); none where it gives no object."""
        reply = fetch_json(self.setting("USERINFO_URL"), bearer=tokens.access_token)
        return object_in(reply, longest=MAX_DOCUMENT) or {}

    def accepts_issuer(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether an id_token's `iss` is this provider's (OIDC Core §3.1.3.7)."""
        return bool(claims.get("iss") == self.setting("ISSUER"))

    def discovery_url(self) -> str:
        """Return where the discovery document lies (OIDC Discovery §4); empty for a provider without an issuer."""
        issuer = str(self.setting("ISSUER") or "")
        return f"{issuer.rstrip('/')}/.well-known/openid-configuration" if issuer else ""

    def calls_itself(self, issuer: Any) -> bool:
        """Tell whether a discovery document with this `issuer` is the provider's."""
        return bool(issuer == self.setting("ISSUER"))

    def identity_from(self, claims: Mapping[str, Any]) -> Identity:
        """Read an identity from verified claims (OIDC Core §5.1); what does not fit stays empty."""
        email = address_claim(claims, "email")
        verified = claims.get("email_verified")
        return Identity(
            issuer=text_claim(claims, "iss"),
            subject=text_claim(claims, "sub"),
            tenant=text_claim(claims, "hd", longest=128),
            email=email,
            email_verified=bool(email) and (verified is True or verified == "true"),
            sign_in_address=email,
        )

    def revocation_url(self) -> str:
        """Return the revocation endpoint (RFC 7009), or an empty string."""
        return self.setting("REVOKE_URL") or ""
