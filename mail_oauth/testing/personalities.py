"""Providers' peculiarities as data: paths, scopes, when a refresh token is given, how tokens look.

Sources: Microsoft ``v2-oauth2-auth-code-flow.md`` and ``v2-protocols-oidc.md``, Google
``identity/protocols/oauth2/web-server`` and its section on the end of refresh tokens, OpenID Connect Core section 11, RFC 9207.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from mail_oauth.testing.tenants import tenant_id

OIDC_SCOPES: Final = frozenset({"openid", "profile", "email", "offline_access"})
GRAPH: Final = "https://graph.microsoft.com"


class Offline(Enum):
    """When a consent yields a refresh token."""

    ALWAYS = "always"
    SCOPE = "the offline_access scope was granted"
    ACCESS_TYPE = "access_type=offline, at the first consent or with prompt=consent"


class Renewal(Enum):
    """Whether a refresh yields a new refresh token."""

    ALWAYS_NEW = "a new one each time, rotating or not"
    WHEN_ROTATING = "a new one when rotating, else the same one"
    ON_REQUEST = "none, unless the provider was told to rotate for this personality"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenShape:
    """How long a token is and how it begins."""

    prefix: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """One provider's behaviour. ``paths`` maps an endpoint's name to a template with ``{tenant}``.

    ``introspect`` (RFC 7662) is there for a mail server in tests, at Microsoft and Google too: the mail hosts of
    the true ones know their tokens without.
    """

    name: str
    title: str
    paths: Mapping[str, str]
    issuer: str | None
    default_scopes: tuple[str, ...]
    offline: Offline
    renewal: Renewal
    access_token: TokenShape
    refresh_token: TokenShape
    sends_iss: bool = False
    pkce_required: bool = False
    one_resource_per_token: bool = False
    select_account_excludes_hint: bool = False
    revoke_needs_client: bool = True
    revoke_ends_all_grants: bool = False
    idle_days: int | None = None
    """After so many days without a refresh a grant ends; ``None`` where it does not."""
    hidden_scopes: frozenset[str] = frozenset()
    scope_aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_oidc(self) -> bool:
        """Whether id_tokens, userinfo and discovery exist here."""
        return self.issuer is not None


def _frozen(paths: dict[str, str]) -> Mapping[str, str]:
    return MappingProxyType(paths)


MICROSOFT: Final = Personality(
    name="microsoft",
    title="Microsoft",
    paths=_frozen(
        {
            "authorize": "/microsoft/{tenant}/oauth2/v2.0/authorize",
            "token": "/microsoft/{tenant}/oauth2/v2.0/token",
            "jwks": "/microsoft/{tenant}/discovery/v2.0/keys",
            "discovery": "/microsoft/{tenant}/v2.0/.well-known/openid-configuration",
            "introspect": "/microsoft/introspect",
            "userinfo": "/microsoft/graph/oidc/userinfo",
        }
    ),
    issuer="/microsoft/{tenant}/v2.0",
    default_scopes=(
        "openid",
        "profile",
        "email",
        "offline_access",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "https://outlook.office.com/SMTP.Send",
    ),
    offline=Offline.SCOPE,
    renewal=Renewal.ALWAYS_NEW,
    access_token=TokenShape(prefix="EwB4", length=1800),
    refresh_token=TokenShape(prefix="1.AXoA", length=1200),
    one_resource_per_token=True,
    select_account_excludes_hint=True,
    hidden_scopes=OIDC_SCOPES,
    idle_days=90,
)

GOOGLE: Final = Personality(
    name="google",
    title="Google",
    paths=_frozen(
        {
            "authorize": "/google/o/oauth2/v2/auth",
            "token": "/google/token",
            "revoke": "/google/revoke",
            "userinfo": "/google/userinfo",
            "jwks": "/google/certs",
            "discovery": "/google/.well-known/openid-configuration",
            "introspect": "/google/introspect",
        }
    ),
    issuer="/google",
    default_scopes=("openid", "email", "https://mail.google.com/"),
    offline=Offline.ACCESS_TYPE,
    renewal=Renewal.ON_REQUEST,
    access_token=TokenShape(prefix="ya29.a0", length=220),
    refresh_token=TokenShape(prefix="1//0", length=103),
    sends_iss=True,
    revoke_needs_client=False,
    revoke_ends_all_grants=True,
    idle_days=180,
    scope_aliases=MappingProxyType(
        {
            "email": "https://www.googleapis.com/auth/userinfo.email",
            "profile": "https://www.googleapis.com/auth/userinfo.profile",
        }
    ),
)

OIDC: Final = Personality(
    name="oidc",
    title="OpenID Connect",
    paths=_frozen(
        {
            "authorize": "/oidc/authorize",
            "token": "/oidc/token",
            "revoke": "/oidc/revoke",
            "userinfo": "/oidc/userinfo",
            "jwks": "/oidc/jwks",
            "discovery": "/oidc/.well-known/openid-configuration",
            "introspect": "/oidc/introspect",
        }
    ),
    issuer="/oidc",
    default_scopes=("openid", "profile", "email", "offline_access", "mail"),
    offline=Offline.SCOPE,
    renewal=Renewal.WHEN_ROTATING,
    access_token=TokenShape(prefix="oidc-at-", length=72),
    refresh_token=TokenShape(prefix="oidc-rt-", length=72),
    sends_iss=True,
)

PLAIN: Final = Personality(
    name="plain",
    title="Plain OAuth",
    paths=_frozen(
        {
            "authorize": "/plain/authorize",
            "token": "/plain/token",
            "revoke": "/plain/revoke",
            "introspect": "/plain/introspect",
        }
    ),
    issuer=None,
    default_scopes=(
        "https://www.fastmail.com/dev/protocol-imap",
        "https://www.fastmail.com/dev/protocol-smtp",
    ),
    offline=Offline.ALWAYS,
    renewal=Renewal.WHEN_ROTATING,
    access_token=TokenShape(prefix="fmo1-", length=80),
    refresh_token=TokenShape(prefix="fmr1-", length=80),
    pkce_required=True,
)

PERSONALITIES: Final[Mapping[str, Personality]] = MappingProxyType(
    {each.name: each for each in (MICROSOFT, GOOGLE, OIDC, PLAIN)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which endpoint of which personality a path names; ``tenant`` is Microsoft's path segment."""

    personality: Personality
    endpoint: str
    tenant: str | None = None


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{tenant\}", r"(?P<tenant>[A-Za-z0-9.-]{1,80})"))


_ROUTES: Final = tuple(
    (_pattern(template), personality, endpoint)
    for personality in PERSONALITIES.values()
    for endpoint, template in personality.paths.items()
)


def find_route(path: str) -> Route | None:
    """The route that ``path`` names, or ``None``."""
    for pattern, personality, endpoint in _ROUTES:
        if match := pattern.fullmatch(path):
            return Route(personality=personality, endpoint=endpoint, tenant=match.groupdict().get("tenant"))
    return None


def issuer_of(personality: Personality, base: str, tenant: str) -> str:
    """The issuer as written in id_tokens; for ``common`` and ``organizations`` Microsoft's template."""
    if personality.issuer is None:
        return ""
    return base + personality.issuer.replace("{tenant}", tenant_id(tenant) or "{tenantid}")


def urls_of(personality: Personality, base: str, tenant: str = "common") -> dict[str, str]:
    """Every URL of ``personality`` by endpoint, and its ``issuer``; what it lacks is absent."""
    urls = {name: base + path.replace("{tenant}", tenant) for name, path in personality.paths.items()}
    return {"issuer": issuer_of(personality, base, tenant), **urls} if personality.is_oidc else urls


def resource_of(scope: str) -> str | None:
    """The Microsoft resource that a scope belongs to; ``None`` for OpenID's own scopes."""
    if scope in OIDC_SCOPES:
        return None
    parts = urlsplit(scope)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else GRAPH


def resources_of(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """The resources that ``scopes`` name, each once, in order."""
    return tuple(dict.fromkeys(found for scope in scopes if (found := resource_of(scope))))


def first_resource_only(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """``scopes`` without those of a second resource: an access token has one audience."""
    first = resources_of(scopes)[:1]
    return tuple(scope for scope in scopes if (found := resource_of(scope)) is None or found in first)


def scope_in_reply(personality: Personality, scopes: tuple[str, ...]) -> str:
    """The ``scope`` member of a token reply as this provider writes it."""
    shown = [
        personality.scope_aliases.get(scope, scope) for scope in scopes if scope not in personality.hidden_scopes
    ]
    if personality.scope_aliases and shown != list(scopes) and "openid" not in shown:
        shown.append("openid")  # Google adds it whenever email or profile was granted.
    return " ".join(reversed(shown) if personality.scope_aliases else shown)
