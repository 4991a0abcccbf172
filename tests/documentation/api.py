"""What a site may rely on: the names that docs/api.md lists, with their signatures as the source writes them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

EVERYTHING = "*"
"""Of a class, whatever has a public name; else the names that count, for the rest is the app's own business."""

FIELDS = (
    "id user provider email email_verified issuer subject tenant sign_in_address access requested_scopes granted_scopes "
    "status status_reason status_changed_at use_oauth refresh_policy token_issued_at token_expiry refresh_at "
    "refresh_failures last_refreshed_at last_refresh_error last_used_at connected_at created_at generation"
)

PUBLIC: dict[str, dict[str, str]] = {
    "mail_oauth": {"__version__": ""},
    "mail_oauth.models": {
        "MailCredentials": f"{FIELDS} events objects get_access_token aget_access_token refresh_now arefresh_now "
        "report_rejected areport_rejected imap imap_client pop smtp email_connection scopes is_connected is_app_only "
        "account_page provider_name",
        "CredentialEvent": "credentials kind reason note actor generation created_at",
    },
    "mail_oauth.managers": {
        "MailCredentialsManager": "get_access_token aget_access_token report_rejected areport_rejected",
        "MailCredentialsQuerySet": "for_user present healthy needing_attention due without_tokens",
    },
    "mail_oauth.exceptions": dict.fromkeys(
        "MailOAuthError ConfigurationError KeySourcesConflict KeysNotFound SealError KeyMissing Altered Moved Unbound "
        "UnsealedValue TransportError ConnectRefused TooManyStarts MailboxError ReauthRequired AdminRequired "
        "MailboxDisconnected CredentialsUnreadable TransactionHeld MailServerError SignInRefused MailServerUnavailable "
        "MessageRefused ProviderUnavailable".split(),
        EVERYTHING,
    ),
    "mail_oauth.tokens": dict.fromkeys(("Secret", "AccessToken", "MailServer", "MailEndpoint"), EVERYTHING),
    "mail_oauth.signals": dict.fromkeys(
        "mailbox_connected mailbox_disconnected token_refreshed mailbox_status_changed grant_ending user_notified "
        "value_refused lane_held lane_released".split(),
        "",
    ),
    "mail_oauth.fields": {"SealedField": ""},
    "mail_oauth.encryption": {"seal": "", "unseal": ""},
    "mail_oauth.beat": {"mail_oauth_beat_schedule": ""},
    "mail_oauth.backends": {"EmailBackend": ""},
    "mail_oauth.providers": {"Provider": ""},
    "mail_oauth.redaction": {"RedactSecrets": "", "scrub": ""},
    "mail_oauth.redaction.reports": {"ScrubbedExceptionReporter": ""},
    "mail_oauth.tasks": dict.fromkeys(
        "refresh_due refresh_batch run_jobs reconcile_cache rotate_keys take_survey send_notices prune_events".split(),
        "",
    ),
    "mail_oauth.testing.provider": {"FakeProvider": EVERYTHING},
    "mail_oauth.testing.policy": {"Policy": EVERYTHING},
    "mail_oauth.testing.faults": {"Fault": EVERYTHING},
    "mail_oauth.testing.fence": {"LeftThisMachine": ""},
    "mail_oauth.testing.mailservers": {"MailServers": EVERYTHING},
    "mail_oauth.testing.cases": {"FakeProviderMixin": EVERYTHING},
    "mail_oauth.testing.clock": {"moved_clock": "", "MovableClock": EVERYTHING},
    "mail_oauth.testing.configuring": dict.fromkeys(
        ("configured", "site_settings", "pointed_at", "provider_settings"), ""
    ),
    "mail_oauth.testing.factories": {"make_mailbox": "", "make_user": ""},
    "mail_oauth.testing.secrecy": {"assert_no_secrets": ""},
    "mail_oauth.testing.plugin": dict.fromkeys(
        "fake_provider fake_provider_server connected_mailbox connect_mailbox app_mailbox mail_oauth_clock "
        "assert_no_secrets".split(),
        "",
    ),
}
"""By module: each name, and of a class which of its members."""


def api_list() -> str:
    """The list, one block for each module."""
    return "\n\n".join(
        f"### `{module}`\n\n```text\n" + "\n".join(_lines(module, names)) + "\n```"
        for module, names in PUBLIC.items()
    )


def _lines(module: str, names: dict[str, str]) -> Iterator[str]:
    for name, members in names.items():
        found = getattr(importlib.import_module(module), name)
        yield _described(name, found)
        if inspect.isclass(found) and members:
            own = _members(found)
            wanted = sorted(own) if members == EVERYTHING else members.split()
            yield from (f"    {_described(each, own[each])}" for each in wanted)


def _members(found: type) -> dict[str, Any]:
    """The public members that this app gives to a class, those of its bases included."""
    members: dict[str, Any] = {}
    for base in reversed([base for base in found.__mro__ if base.__module__.startswith("mail_oauth")]):
        annotated = dict.fromkeys(inspect.get_annotations(base))
        members |= {name: value for name, value in {**annotated, **vars(base)}.items() if not name.startswith("_")}
    return members


def _described(name: str, found: Any) -> str:
    if inspect.isclass(found):
        bases = ", ".join(base.__name__ for base in found.__bases__ if base is not object)
        return f"class {name}({bases})" if bases else f"class {name}"
    function = _function(found)
    return f"{name}{_signature(function)}" if function else name


def _function(found: Any) -> Any:
    """The function behind a method, a task or a fixture; None for a value or a property."""
    if isinstance(found, (property, functools.cached_property)):
        return None
    found = getattr(found, "_fixture_function", None) or getattr(found, "run", None) or found
    found = inspect.unwrap(getattr(found, "__func__", found))
    return found if inspect.isfunction(found) else None


def _signature(function: Any) -> str:
    """As the source writes it, which all versions of Python read alike."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef))
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    return f"({ast.unparse(tree.args)}){returns}"
