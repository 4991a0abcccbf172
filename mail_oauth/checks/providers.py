"""Providers' options: what no provider could work with. Nothing here asks a network; `doctor --live` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mail_oauth.checks import app_only, microsoft
from mail_oauth.checks.catalogue import Found, found
from mail_oauth.checks.places import where
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import Provider, all_providers
from mail_oauth.providers.client_secrets import ordinal, placed
from mail_oauth.providers.google import Google
from mail_oauth.providers.microsoft import Microsoft
from mail_oauth.providers.oidc import OpenIDConnect
from mail_oauth.tokens import Secret

_PLACEHOLDER = re.compile(
    r"\W*|x{3,}|change[ _-]?me|todo|tbd|none|null|undefined|placeholder|dummy"
    r"|(your|my)[ _-].+|.*\byour\b.*\b(id|secret)\b.*|<.*>|\{.*\}|\$\w+|\$\{.*\}",
    re.IGNORECASE | re.DOTALL,
)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_FLOW = frozenset(
    "client_id redirect_uri response_type scope state nonce code_challenge code_challenge_method".split()
)
_MAIL_AT_GOOGLE = "https://mail.google.com/"


def options() -> Found:
    """Check every provider, once all can be made."""
    if not app_settings().providers:
        return
    try:
        providers = all_providers()
        texts = [text for provider in providers for text in provider.endpoint_problems()]
    except ConfigurationError as error:
        yield found("E002", str(error), "")
        return
    for text in texts:
        yield found("E006", text, "")
    for provider in providers:
        yield from _of(provider)


def _of(provider: Provider) -> Found:
    for check in _EVERYWHERE:
        yield from check(provider)
    for kind, checks in _OF_KINDS.items():
        if isinstance(provider, kind):
            for check in checks:
                yield from check(provider)


def _credentials(provider: Provider) -> Found:
    """Find what was never a client's id or secret. The value itself is never shown."""
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        for place, value in placed(where(provider, name), provider.options.get(name)):
            plain = value.reveal() if isinstance(value, Secret) else value
            if isinstance(plain, str) and plain and (reason := _not_given_out(plain)):
                variable = f'os.environ["{provider.alias.upper()}_{name}"]'
                yield found(
                    "W005",
                    f"{place} {reason}.",
                    f'Write "{name}": {variable}, and set that variable.'
                    if place == where(provider, name)
                    else f"Read it from a variable, as {variable}, and set that; or take it out of the list.",
                )


def _doubled_secrets(provider: Provider) -> Found:
    """Find the secret of which a variable, the new one's or the former one's, was not set to another."""
    secrets = [secret for _, secret in placed("", provider.options.get("CLIENT_SECRET"))]
    for number, secret in enumerate(secrets):
        if secret in secrets[:number]:
            yield found(
                "W005",
                f"{where(provider, 'CLIENT_SECRET')}: the {ordinal(number)} of {len(secrets)} is the "
                f"{ordinal(secrets.index(secret))} one again.",
                "See what the variables are set to that they are read from, or take one out of the list.",
            )


def _not_given_out(value: str) -> str:
    if value != value.strip():
        return "begins or ends with white space, as of a file's last line"
    if value[0] == value[-1] and value[0] in "'\"":
        return "stands in quotes, which an environment file may keep"
    return "is a placeholder" if _PLACEHOLDER.fullmatch(value) else ""


def _client_authentication(provider: Provider) -> Found:
    secret, how = provider.options.get("CLIENT_SECRET"), provider.setting("CLIENT_AUTH")
    if provider.is_app_only or (provider.client_assertions() and not secret):
        return
    if secret and how == "none":
        yield found(
            "W014",
            f'{where(provider, "CLIENT_SECRET")} is never sent: the client is a public one ("CLIENT_AUTH": "none").',
            'Take "CLIENT_SECRET" out, or write "CLIENT_AUTH": "post".',
        )
    if not secret and how == "basic":
        yield found(
            "W014",
            f'{where(provider)} has "CLIENT_AUTH": "basic" and no CLIENT_SECRET to send.',
            'Add "CLIENT_SECRET", or write "CLIENT_AUTH": "none" for a public client.',
        )
    if not secret and not provider.setting("USES_PKCE"):
        yield found(
            "W014",
            f"{where(provider)} has neither a secret nor PKCE: whoever sees a code can redeem it (RFC 9700 §2.1.1).",
            'Write "USES_PKCE": True.',
        )


def _scopes(provider: Provider) -> Found:
    """Find several scopes in one string of a list, which would be asked for, and compared, as one."""
    for scope in provider.requested_scopes:
        commas = "," in scope or scope.count("://") > 1
        if commas or not _SCOPE.fullmatch(scope):
            yield found(
                "E027",
                f"{where(provider, 'SCOPES')} holds {scope!r}, which is not one scope.",
                'Write each as a string of its own: "SCOPES": ["openid", "mail"].',
            )


def _verified_connect(provider: Provider) -> Found:
    """Find the scope without which no new grant would pass its trial."""
    protocol = app_settings().verify_connect.upper()
    if not protocol or provider.setting(protocol) is None:
        return
    if scope := provider.lacking_scope(protocol, provider.requested_scopes):
        yield found(
            "E031",
            f"{where(provider, 'SCOPES')} lacks {scope}: VERIFY_CONNECT tries {protocol} with it, and would refuse "
            "every mailbox.",
            f'Add it to "SCOPES", or write "{protocol}": None if this provider is not tried.',
        )


def _authorize_parameters(provider: Provider) -> Found:
    parameters: Any = provider.setting("AUTHORIZE_PARAMETERS")
    if not isinstance(parameters, Mapping):
        return
    place = where(provider, "AUTHORIZE_PARAMETERS")
    for name in sorted(_FLOW & set(parameters)):
        yield found("E026", f"{place} sets {name!r}, which the flow sets itself.", f'Take "{name}" out of it.')
    if parameters.get("response_mode", "query") != "query":
        yield found(
            "E026",
            f"{place} asks for an answer by {parameters['response_mode']!r}: the callback reads the query alone.",
            'Write "response_mode": "query".',
        )
    if "none" in str(parameters.get("prompt", "")).split():
        yield found(
            "E026", f'{place} has "prompt": "none": no user could ever consent.', 'Take "prompt" out of it.'
        )


def _google_refresh_token(provider: Provider) -> Found:
    if provider.is_app_only:
        return
    parameters = provider.setting("AUTHORIZE_PARAMETERS")
    place = where(provider, "AUTHORIZE_PARAMETERS")
    if parameters.get("access_type") != "offline":
        yield found(
            "E024",
            f'{place} lacks "access_type": "offline": Google gives no refresh token.',
            'Add "access_type": "offline".',
        )
    if "consent" not in str(parameters.get("prompt", "")).split():
        yield found(
            "W015",
            f'{place} lacks "prompt": "consent": Google gives a refresh token at the very first consent only, and none '
            "to who reconnects.",
            'Add "prompt": "consent".',
        )


def _google_mail(provider: Provider) -> Found:
    servers = [name for name in ("IMAP", "POP", "SMTP") if provider.setting(name) is not None]
    if servers and _MAIL_AT_GOOGLE not in provider.requested_scopes:
        nothing = ", ".join(f'"{name}": None' for name in servers)
        yield found(
            "W016",
            f"{where(provider, 'SCOPES')} lacks {_MAIL_AT_GOOGLE}, the one scope that opens IMAP, POP and SMTP at "
            "Google.",
            f'Add "{_MAIL_AT_GOOGLE}", or write {nothing} if only its HTTP APIs are used.',
        )


def _oidc_refresh_token(provider: Provider) -> Found:
    """Some have a parameter instead of the scope; a provider without it gives tokens that end with a sign-in."""
    offline = provider.setting("AUTHORIZE_PARAMETERS").get("access_type") == "offline"
    if "offline_access" not in provider.requested_scopes and not offline:
        yield found(
            "W015",
            f"{where(provider, 'SCOPES')} lacks offline_access: a refresh token may be missing, or end when the user "
            "signs out (OIDC Core §11).",
            'Add "offline_access" to "SCOPES", or "access_type": "offline" to "AUTHORIZE_PARAMETERS".',
        )


_Check = Callable[[Provider], Found]

_EVERYWHERE: tuple[_Check, ...] = (
    _credentials,
    _doubled_secrets,
    _client_authentication,
    _scopes,
    _verified_connect,
    _authorize_parameters,
    *app_only.CHECKS,
)

_OF_KINDS: dict[type[Provider], tuple[_Check, ...]] = {
    Microsoft: microsoft.CHECKS,
    Google: (_google_refresh_token, _google_mail),
    OpenIDConnect: (_oidc_refresh_token,),
}
