"""Microsoft: what belongs to different clouds, tenants or resources and stands in one configuration.

Sources: `authentication-national-cloud.md`, `v2-oauth2-auth-code-flow.md`, `reference-error-codes.md`, and Exchange's
`how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.checks.places import where
from mail_oauth.providers import Provider
from mail_oauth.providers.client_secrets import placed
from mail_oauth.providers.microsoft import CONSUMERS, GUID
from mail_oauth.providers.scoping import NOT_MAIL_SCOPES
from mail_oauth.tokens import MailServer, Secret

_OUTLOOK = "https://outlook.office.com"
_EXCHANGE = "00000002-0000-0ff1-ce00-000000000000"
_GRAPHS = {
    "graph.microsoft.com": "global",
    "graph.microsoft.us": "usgov",
    "dod-graph.microsoft.us": "usgov",
    "microsoftgraph.chinacloudapi.cn": "china",
}
_CLOUD_OF_HOST = _GRAPHS | {
    "login.microsoftonline.com": "global",
    "login.microsoftonline.us": "usgov",
    "login.partner.microsoftonline.cn": "china",
    "outlook.office.com": "global",
    "outlook.office365.com": "global",
    "outlook.office365.us": "usgov",
    "webmail.apps.mil": "usgov",
    "partner.outlook.cn": "china",
    "smtp.office365.com": "global",
    "smtp-mail.outlook.com": "global",
    "smtp.office365.us": "usgov",
    "smtp.partner.outlook.cn": "china",
}
_SAME_RESOURCE = {"outlook.office365.com": "outlook.office.com", _EXCHANGE: "outlook.office.com"}
"""Names of one resource, Exchange Online."""

_MAIL_PERMISSION = re.compile(r"(IMAP|POP)\.AccessAsUser\.All|SMTP\.Send", re.IGNORECASE)
_TENANT_IN_PATH = re.compile(r"/([^/]+)/oauth2/v2\.0/(authorize|token)/?")


def _one_resource(provider: Provider) -> Found:
    """A token request takes scopes of one resource (AADSTS28000, 700022 or 70011 otherwise)."""
    resources = dict.fromkeys(_SAME_RESOURCE.get(host, host) for host, _ in _resources(provider))
    if len(resources) > 1:
        yield found(
            "E022",
            f"{where(provider, 'SCOPES')} names several resources ({', '.join(resources)}): Microsoft refuses to redeem "
            "a code, or to refresh, for more than one (AADSTS28000).",
            f'Keep those of {_mail_resource(provider)}, with "openid", "profile", "email" and "offline_access".',
        )


def _mail_not_at_graph(provider: Provider) -> Found:
    """Entra's portal lists these permissions under Graph; a token for Graph opens no mail server."""
    for host, scope in _resources(provider):
        permission = scope.rpartition("/")[2]
        if host in _GRAPHS and _MAIL_PERMISSION.fullmatch(permission):
            yield found(
                "E023",
                f"{where(provider, 'SCOPES')} holds {scope!r}, a scope of Graph: mail servers refuse its tokens.",
                f'Write "{_mail_resource(provider)}/{permission}".',
            )


def _refresh_token(provider: Provider) -> Found:
    if "offline_access" not in provider.requested_scopes and not provider.is_app_only:
        yield found(
            "E024",
            f"{where(provider, 'SCOPES')} lacks offline_access: Microsoft gives no refresh token.",
            'Add "offline_access".',
        )


def _one_cloud(provider: Provider) -> Found:
    """Each cloud has its own sign-in, its own resources and its own mail servers."""
    hosts = dict.fromkeys(host for host in _hosts(provider) if host in _CLOUD_OF_HOST)
    clouds = {_CLOUD_OF_HOST[host] for host in hosts}
    if len(clouds) > 1:
        yield found(
            "E025",
            f"{where(provider)} mixes clouds of Microsoft's: {', '.join(f'{host} ({_CLOUD_OF_HOST[host]})' for host in hosts)}.",
            'Let "CLOUD" ("global", "usgov" or "china") choose them all.',
        )
    if _is_consumers(provider) and clouds - {"global"}:
        yield found(
            "E025",
            f"{where(provider, 'TENANT')} is that of personal accounts, which national clouds do not have.",
            'Write "CLOUD": "global", or the tenant of an organisation.',
        )


def _one_tenant(provider: Provider) -> Found:
    """A code is redeemed where it was given out."""
    tenants = {name: tenant for name in ("AUTHORIZE_URL", "TOKEN_URL") if (tenant := _tenant_in(provider, name))}
    if len(set(tenants.values())) > 1:
        named = " and ".join(f"{tenant} ({name})" for name, tenant in tenants.items())
        yield found(
            "E025",
            f"{where(provider)} mixes tenants: {named}.",
            'Take the URLs out, and write "TENANT": "contoso.com" (or a GUID, "common", "organizations", "consumers").',
        )


def _personal_accounts(provider: Provider) -> Found:
    """Personal mailboxes know outlook.office.com alone."""
    work_only = [scope for host, scope in _resources(provider) if host == "outlook.office365.com"]
    if work_only and _is_consumers(provider) and not provider.is_app_only:
        yield found(
            "W027",
            f"{where(provider, 'SCOPES')} holds {work_only[0]!r}: personal accounts have no such resource.",
            f'Write "{_OUTLOOK}/{work_only[0].rpartition("/")[2]}".',
        )


def _secret_id(provider: Provider) -> Found:
    """Entra shows a secret's id beside its value, for longer than the value."""
    for place, secret in placed(where(provider, "CLIENT_SECRET"), provider.options.get("CLIENT_SECRET")):
        if isinstance(secret, Secret) and GUID.fullmatch(secret.reveal().lower()):
            yield found(
                "W005",
                f"{place} is a GUID, as the id of a secret is: Entra wants its value (AADSTS7000215).",
                'Write the column "Value" of "Certificates & secrets", which is shown once; make a new one if it is gone.',
            )


CHECKS: tuple[Callable[[Provider], Found], ...] = (
    _one_resource,
    _mail_not_at_graph,
    _refresh_token,
    _one_cloud,
    _one_tenant,
    _personal_accounts,
    _secret_id,
)


def _resources(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the host of each scope's resource, and the scope; those of OpenID have none."""
    for scope in provider.requested_scopes:
        if scope in NOT_MAIL_SCOPES:
            continue
        host = urlsplit(scope).netloc or scope.rpartition("/")[0]
        yield host.lower() or _graph(provider), scope


def _graph(provider: Provider) -> str:
    """Return what a permission without a resource belongs to: Graph, in each cloud its own."""
    cloud = provider.options.get("CLOUD", "global")
    return next(host for host, of in _GRAPHS.items() if of == cloud)


def _mail_resource(provider: Provider) -> str:
    return provider.placeholders()["resource"]


def _hosts(provider: Provider) -> Iterator[str]:
    for name in ("AUTHORIZE_URL", "TOKEN_URL"):
        yield urlsplit(str(provider.setting(name))).netloc.lower()
    for host, _ in _resources(provider):
        yield host
    for name in ("IMAP", "POP", "SMTP"):
        server = provider.setting(name)
        if isinstance(server, MailServer):
            yield server.host.lower()


def _tenant_in(provider: Provider, name: str) -> str:
    found_in = _TENANT_IN_PATH.fullmatch(urlsplit(str(provider.setting(name))).path)
    tenant = found_in[1].lower() if found_in else ""
    return "consumers" if tenant == CONSUMERS else tenant


def _is_consumers(provider: Provider) -> bool:
    return str(provider.options.get("TENANT", "common")).lower() in {"consumers", CONSUMERS}
