"""The tables of docs/providers.md, from the providers' classes."""

from __future__ import annotations

from urllib.parse import urlsplit

from mail_oauth.providers import Provider
from mail_oauth.providers.registry import BUILT_IN, provider_class

FEATURES = (
    "PKCE",
    "client authentication",
    "names the account",
    "revokes",
    "grant ends",
    "without a user",
    "by HTTP",
)
SERVERS = ("IMAP", "POP", "SMTP", "SASL", "scopes")


def made(name: str) -> Provider:
    """The provider of that class, with examples of what it must be told."""
    cls = provider_class(name, {})
    example = dict.fromkeys(cls.required_options, "https://x")
    return cls(name, {**example, "CLIENT_SECRET": "x", "REVOKE_URL": cls.revoke_url})


def facts(name: str) -> dict[str, str]:
    """What stands in a provider's row, by head."""
    cls, provider = provider_class(name, {}), made(name)
    endpoint = cls.mail_endpoint
    by_option = {"oidc": "by discovery", "oauth2": "by option"}
    servers = {each: provider.setting(each) for each in ("IMAP", "POP", "SMTP")}
    none = "by option"
    return {
        "PKCE": _yes(cls.uses_pkce),
        "client authentication": f"`{cls.client_auth}`",
        "names the account": _yes(cls.names_account),
        "revokes": "yes" if cls.revoke_url else by_option.get(name, "no"),
        "grant ends": f"{cls.grant_days:g} days" if cls.grant_days else "not told",
        **{each: f"`{server.host}:{server.port}`" if server else none for each, server in servers.items()},
        "by HTTP": _place(endpoint.url) if endpoint else "no",
        "SASL": ", ".join(cls.sasl_mechanisms),
        "without a user": _yes(cls.offers_app_access),
        "scopes": ", ".join(f"`{scope}`" for scope in provider.setting("SCOPES")) if cls.scopes else "by option",
    }


def _place(url: str) -> str:
    return "Microsoft Graph" if url.startswith("{graph}") else f"`{urlsplit(url).hostname}`"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def matrix_table() -> str:
    """What every built-in class can do."""
    return _table(FEATURES)


def servers_table() -> str:
    """Where the mail of every built-in class is, and what its users are asked for."""
    return _table(SERVERS)


def _table(heads: tuple[str, ...]) -> str:
    lines = [f"| `CLASS` | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in BUILT_IN:
        told = facts(name)
        lines.append(f"| `{name}` | {' | '.join(told[head] for head in heads)} |")
    return "\n".join(lines)


def options_table() -> str:
    """The options of every class, and those that one has besides."""
    lines = ["| `CLASS` | options |", "|---|---|", f"| every | {_codes(Provider.OPTIONS)} |"]
    for name in BUILT_IN:
        own = provider_class(name, {}).OPTIONS - Provider.OPTIONS
        if own:
            lines.append(f"| `{name}` besides | {_codes(own)} |")
    return "\n".join(lines)


def _codes(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


TABLES = {"matrix": matrix_table, "servers": servers_table, "options": options_table}
"""By the name of their place on the page."""
