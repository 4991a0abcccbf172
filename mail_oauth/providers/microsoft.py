"""Microsoft 365 and outlook.com (Entra ID, v2.0 endpoints), in all its clouds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from mail_oauth.exceptions import ConnectRefused
from mail_oauth.providers.certificates import ALGORITHMS, FederatedAssertion, SignedAssertion, source_of
from mail_oauth.providers.claims import LONGEST_ADDRESS, address_claim, text_claim
from mail_oauth.providers.contract import Provider
from mail_oauth.providers.documents import document
from mail_oauth.tokens import HttpReply, Identity, MailEndpoint, MailServer
from mail_oauth.transport import ClientAssertion, TokenEndpoint

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TENANT = re.compile(
    rf"common|organizations|consumers|{GUID.pattern}|([a-z0-9-]+\.)+[a-z]{{2,}}", re.IGNORECASE | re.ASCII
)
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of all personal accounts (`id-token-claims-reference.md`)."""

PERSONAL_ACCOUNT_URL = "https://account.microsoft.com/privacy/app-access"

_CLOUDS: dict[str, dict[str, Any]] = {
    "global": {
        "host": "https://login.microsoftonline.com",
        "resource": "https://outlook.office.com",
        "app_resource": "https://outlook.office365.com",
        "graph": "https://graph.microsoft.com",
        "imap": MailServer(host="outlook.office365.com", port=993),
        "pop": MailServer(host="outlook.office365.com", port=995),
        "smtp": MailServer(host="smtp.office365.com", port=587, security="starttls"),
    },
    "usgov": {
        "host": "https://login.microsoftonline.us",
        "resource": "https://outlook.office365.us",
        "graph": "https://graph.microsoft.us",
        "imap": MailServer(host="outlook.office365.us", port=993),
        "pop": MailServer(host="outlook.office365.us", port=995),
        "smtp": MailServer(host="smtp.office365.us", port=587, security="starttls"),
    },
    "china": {
        "host": "https://login.partner.microsoftonline.cn",
        "resource": "https://partner.outlook.cn",
        "graph": "https://microsoftgraph.chinacloudapi.cn",
        "imap": MailServer(host="partner.outlook.cn", port=993),
        "pop": MailServer(host="partner.outlook.cn", port=995),
        "smtp": MailServer(host="smtp.partner.outlook.cn", port=587, security="starttls"),
    },
}


_OF_APP: dict[str, Any] = {
    "SCOPES": ("{app_resource}/.default",),
    "RESOURCES": {"graph": ("{graph}/.default",)},
}
"""What an app asks for on its own behalf: all that it was given, of one resource."""


class Microsoft(Provider):
    """`TENANT`: common, organizations, consumers, a tenant's GUID or domain. `CLOUD`: global, usgov, china."""

    display_name = "Microsoft"
    brand = "microsoft"
    error_family = "microsoft"
    authorize_url = "{host}/{tenant}/oauth2/v2.0/authorize"
    token_url = "{host}/{tenant}/oauth2/v2.0/token"  # noqa: S105  # a URL, no password
    jwks_url = "{host}/{tenant}/discovery/v2.0/keys"
    account_url = "https://myapps.microsoft.com/"  # of work and school accounts
    # Graph's scopes would yield a token that IMAP refuses; one resource per token request.
    scopes = (
        "openid",
        "profile",
        "email",
        "offline_access",
        "{resource}/IMAP.AccessAsUser.All",
        "{resource}/SMTP.Send",
    )
    authorize_parameters = {"response_mode": "query", "prompt": "select_account"}
    sends_scope_on_refresh = True
    grant_days = 90  # from the last refresh on (`refresh-tokens.md`)
    sasl_mechanisms = ("XOAUTH2",)
    # Graph's sendMail in MIME format. Its scope is asked for where the options name the resource.
    mail_endpoint = MailEndpoint(
        url="{graph}/v1.0/{mailbox}/sendMail", resource="graph", content_type="text/plain", base64=True
    )
    protocol_scopes = {"IMAP": "IMAP.AccessAsUser.All", "POP": "POP.AccessAsUser.All", "SMTP": "SMTP.Send"}
    offers_app_access = True
    shares_app_token = True
    certificate_algorithm: ClassVar[str] = "PS256"
    OPTIONS: ClassVar[frozenset[str]] = Provider.OPTIONS | frozenset(
        "TENANT CLOUD AUTHORITY CLIENT_CERTIFICATE CERTIFICATE_ALGORITHM FEDERATED_TOKEN_FILE".split()
    )

    def problems(self) -> list[str]:
        """Also check the tenant and the cloud, which become parts of URLs."""
        found = super().problems()
        if not _TENANT.fullmatch(str(self.options.get("TENANT", "common"))):
            found.append(
                f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]["TENANT"] is neither a keyword, a GUID nor a domain.'
            )
        if self.options.get("CLOUD", "global") not in _CLOUDS:
            found.append(f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]["CLOUD"] is one of {", ".join(_CLOUDS)}.')
        if self.setting("CERTIFICATE_ALGORITHM") not in ALGORITHMS:
            where = f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]["CERTIFICATE_ALGORITHM"]'
            found.append(f"{where} is one of {', '.join(ALGORITHMS)}.")
        return found

    @property
    def cloud(self) -> dict[str, Any]:
        """The hosts of the chosen cloud."""
        return _CLOUDS[self.options.get("CLOUD", "global")]

    def placeholders(self) -> dict[str, str]:
        """`AUTHORITY` replaces the cloud's sign-in host."""
        return {
            "host": str(self.options.get("AUTHORITY", self.cloud["host"])).rstrip("/"),
            "tenant": str(self.options.get("TENANT", "common")),
            "resource": self.cloud["resource"],
            "app_resource": self.cloud.get("app_resource", self.cloud["resource"]),
            "graph": self.cloud["graph"],
        }

    def setting(self, name: str) -> Any:
        """Mail servers are the cloud's."""
        if name in {"IMAP", "POP", "SMTP"} and name not in self.options:
            return self.cloud[name.lower()]
        if name in _OF_APP and name not in self.options and self.is_app_only:
            value: Any = _OF_APP[name]
        else:
            value = super().setting(name)
        if name == "SCOPES" and not isinstance(value, str):
            return tuple(scope.format(**self.placeholders()) for scope in value)
        return value

    @property
    def app_tenant(self) -> str:
        """The tenant that has consented for all its mailboxes."""
        return str(self.placeholders()["tenant"])

    def client_assertions(self) -> tuple[ClientAssertion, ...]:
        """Return what the client shows: by its certificates, then by its platform's token."""
        where = f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]'
        given, algorithm = self.options.get("CLIENT_CERTIFICATE"), str(self.setting("CERTIFICATE_ALGORITHM"))
        sources = given if isinstance(given, (list, tuple)) else [given] if given else []
        signed = (
            SignedAssertion(self.app_name, source_of(each), algorithm, f'{where}["CLIENT_CERTIFICATE"]')
            for each in sources
        )
        path = self.options.get("FEDERATED_TOKEN_FILE")
        federated = [FederatedAssertion(str(path), f'{where}["FEDERATED_TOKEN_FILE"]')] if path else []
        return (*signed, *federated)

    def ask_for_app(self, endpoint: TokenEndpoint, mailbox: str, scope: str) -> HttpReply:
        """Ask on the app's own behalf (`v2-oauth2-client-creds-grant-flow.md`); the token opens every mailbox permitted."""
        return endpoint.client_credentials(scope=scope)

    def authorization_url(self, *, login_hint: str = "", **arguments: Any) -> str:
        """`login_hint` and `prompt=select_account` exclude each other."""
        url = super().authorization_url(login_hint=login_hint, **arguments)
        return url.replace("&prompt=select_account", "") if login_hint else url

    def accepts_issuer(self, claims: Mapping[str, Any]) -> bool:
        """Its issuer names the tenant of the user, which must be the one in `tid` and one that is admitted."""
        tid = text_claim(claims, "tid")
        return claims.get("iss") == self._issuer_of(tid) and self._admits(tid)

    def _issuer_of(self, tid: str) -> str | None:
        return f"{self.placeholders()['host']}/{tid}/v2.0" if GUID.fullmatch(tid) else None

    def _admits(self, tid: str) -> bool:
        """Tell whether `TENANT` lets a tenant's people in: they can write another one into the address bar."""
        tenant = self.placeholders()["tenant"].lower()
        if tenant in {"common", "organizations"}:
            return tenant == "common" or tid != CONSUMERS
        if tenant == "consumers" or GUID.fullmatch(tenant):
            return tid == (CONSUMERS if tenant == "consumers" else tenant)
        # Which tenant a domain stands for, only discovery tells.
        return document(self.discovery_url()).get("issuer") == self._issuer_of(tid)

    def discovery_url(self) -> str:
        """Each tenant has a document of its own."""
        return "{host}/{tenant}/v2.0/.well-known/openid-configuration".format(**self.placeholders())

    def calls_itself(self, issuer: Any) -> bool:
        """It names the tenant; where several may sign in, in a template (`v2-protocols-oidc.md`)."""
        host, tenant = self.placeholders()["host"], self.placeholders()["tenant"].lower()
        if tenant in {"common", "organizations"}:
            return bool(issuer == f"{host}/{{tenantid}}/v2.0")
        expected = CONSUMERS if tenant == "consumers" else tenant
        named = str(issuer).removeprefix(f"{host}/").removesuffix("/v2.0")
        return issuer == self._issuer_of(named) and (named == expected or not GUID.fullmatch(expected))

    def account_page(self, tenant: str = "") -> str:
        """Personal accounts have a page of their own."""
        personal = tenant == CONSUMERS and "ACCOUNT_URL" not in self.options
        return PERSONAL_ACCOUNT_URL if personal else super().account_page(tenant)

    def organisation(self, tenant: str) -> str:
        """Personal accounts share a tenant, but no administrator."""
        return "" if tenant == CONSUMERS else tenant

    def check_callback_issuer(self, iss: str | None) -> None:
        """Microsoft sends no `iss`; one that is there must be a tenant's, known only from the id_token."""
        if iss is not None and iss != self._issuer_of(iss.removesuffix("/v2.0").rpartition("/")[2]):
            raise ConnectRefused("wrong_issuer")

    def identity_from(self, claims: Mapping[str, Any]) -> Identity:
        """`tid`+`oid` never change; addresses and names do, and prove nothing."""
        email = address_claim(claims, "email") or address_claim(claims, "preferred_username")
        tid, oid = text_claim(claims, "tid", longest=36), text_claim(claims, "oid", longest=128)
        return Identity(
            issuer=text_claim(claims, "iss"),
            subject=f"{tid}/{oid}" if tid and oid else text_claim(claims, "sub") if tid else "",
            tenant=tid,
            email=email,
            email_verified=False,
            sign_in_address=text_claim(claims, "preferred_username", longest=LONGEST_ADDRESS) or email,
        )
