"""What the options of a provider may be: names that exist, values of the right type."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mail_oauth.conf import did_you_mean
from mail_oauth.providers.client_secrets import list_problems
from mail_oauth.tokens import MailEndpoint, MailServer, Secret

_RESOURCE = re.compile(r"[a-z0-9_-]{1,32}")  # a name stands in cache keys
_TAKEN = ("mail", "parked")


def option_problems(
    where: str, options: Mapping[str, Any], *, needed: Collection[str], known: Collection[str]
) -> list[str]:
    """Say in full sentences what is missing, unknown or of a wrong type; values are never shown."""
    secrets = options.get("CLIENT_SECRET")
    several = isinstance(secrets, (list, tuple))
    given = {name for name, value in options.items() if value or (name == "CLIENT_SECRET" and several)}
    problems = [_missing(where, name, options) for name in needed if name not in given]
    for name, value in options.items():
        if name not in known:
            problems.append(f"{where} has no option {name!r}.{did_you_mean(name, known)}")
        elif name == "CLIENT_SECRET" and isinstance(value, (list, tuple)):
            problems += list_problems(f'{where}["{name}"]', value)
        elif value is not None and name in _TYPES:
            what, fits = _TYPES[name]
            if not fits(value):
                problems.append(f'{where}["{name}"] must be {what}, not {type(value).__name__}.')
    return problems


def _missing(where: str, name: str, options: Mapping[str, Any]) -> str:
    if name not in options:
        return f'{where} needs {name}: add "{name}": "…".'
    return (
        f"{where} needs {name}, which is {options[name]!r}: is the environment variable set that it is read from?"
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_secret(value: Any) -> bool:
    return isinstance(value, (str, Secret))


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_source(value: Any) -> bool:
    return _is_path(value) or isinstance(value, Secret)


def _is_source_or_several(value: Any) -> bool:
    return _is_source(value) or (isinstance(value, (list, tuple)) and bool(value) and all(map(_is_source, value)))


def _is_scopes(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and all(isinstance(scope, str) for scope in value)
    )


def _is_parameters(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, str) for pair in value.items() for part in pair)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_server(value: Any) -> bool:
    return isinstance(value, MailServer)


def _is_resources(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and _RESOURCE.fullmatch(name) and name not in _TAKEN and _is_scopes(scopes)
        for name, scopes in value.items()
    )


_Type = tuple[str, Callable[[Any], bool]]

_TEXT: _Type = ("a string", _is_text)
_SERVER: _Type = ('a server, mail_oauth.tokens.MailServer(host="…", port=993)', _is_server)

_ENDPOINT: _Type = (
    "an endpoint, mail_oauth.tokens.MailEndpoint(…)",
    lambda value: isinstance(value, MailEndpoint),
)

_TYPES: dict[str, _Type] = {
    "MAIL_ENDPOINT": _ENDPOINT,
    "CLIENT_SECRET": ("a string, or a list of strings", _is_secret),
    "CLIENT_CERTIFICATE": ("the path of a PEM file, or its text, or a list of them", _is_source_or_several),
    "SERVICE_ACCOUNT": ("the path of a JSON file, or what stands in it", _is_source),
    "FEDERATED_TOKEN_FILE": ("a path", _is_path),
    **dict.fromkeys(("CLIENT_ID", "ISSUER", "AUTHORITY", "ACCOUNT_URL"), _TEXT),
    **dict.fromkeys(("AUTHORIZE_URL", "TOKEN_URL", "REVOKE_URL", "USERINFO_URL", "JWKS_URL"), _TEXT),
    **dict.fromkeys(("IMAP", "POP", "SMTP"), _SERVER),
    "RESOURCES": ('a dict of scopes by name (small letters and digits, not "mail")', _is_resources),
    "SCOPES": ("a string, or a list of strings", _is_scopes),
    "AUTHORIZE_PARAMETERS": ("a dict of strings", _is_parameters),
    "USES_PKCE": ("True or False", _is_switch),
}
