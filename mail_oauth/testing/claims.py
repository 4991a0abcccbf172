"""Who somebody is, in each personality's words: pure functions from an account to claims."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from mail_oauth.testing.personalities import Personality
from mail_oauth.testing.records import Account

Claims = dict[str, object]


def pairwise_subject(account: Account, client_id: str) -> str:
    """Microsoft's ``sub``: another one for each application (``id-token-claims-reference.md``)."""
    return hashlib.sha256(f"{client_id}\0{account.subject}".encode()).hexdigest()[:43]


def _microsoft(account: Account, client_id: str) -> Claims:
    return {
        "ver": "2.0",
        "tid": account.tenant,
        "oid": account.subject,
        "sub": pairwise_subject(account, client_id),
        "preferred_username": account.email,
        "email": account.email,
        "name": account.name,
    }


def _google(account: Account, client_id: str) -> Claims:
    domain = account.email.rpartition("@")[2]
    workspace: Claims = {} if domain in {"gmail.com", "googlemail.com"} else {"hd": domain}
    return {
        "azp": client_id,
        "sub": account.subject,
        "email": account.email,
        "email_verified": True,
        "name": account.name,
        **workspace,
    }


def _oidc(account: Account, _client_id: str) -> Claims:
    return {
        "sub": account.subject,
        "preferred_username": account.email,
        "email": account.email,
        "email_verified": True,
        "name": account.name,
    }


_WRITERS: Final[Mapping[str, Callable[[Account, str], Claims]]] = {
    "microsoft": _microsoft,
    "google": _google,
    "oidc": _oidc,
}
# Claims that are there only when their scope was granted (OpenID Connect Core section 5.4).
_NEEDS_SCOPE: Final[Mapping[str, str]] = {
    "name": "profile",
    "preferred_username": "profile",
    "email": "email",
    "email_verified": "email",
}


def identity_claims(personality: Personality, account: Account, client_id: str, scopes: tuple[str, ...]) -> Claims:
    """What ``personality`` says about ``account`` to ``client_id``, as far as ``scopes`` allow."""
    claims = _WRITERS[personality.name](account, client_id)
    allowed = {name: claims[name] for name in claims if _NEEDS_SCOPE.get(name, "openid") in {*scopes, "openid"}}
    return {**allowed, **account.claims}
