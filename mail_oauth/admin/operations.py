"""What staff may have done to a mailbox: one row in, one result in words out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.admin.moments import distance
from mail_oauth.cache import token_cache
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import (
    AdminRequired,
    ConfigurationError,
    CredentialsUnreadable,
    MailboxDisconnected,
    MailOAuthError,
    ProviderUnavailable,
    ReauthRequired,
    SealError,
    TransactionHeld,
)
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Revocation

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an operation. `text` goes on the page and into the log of the admin: no secret in it.

    `lines` go on the page under it.
    """

    done: bool
    text: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """Something that can be done to a mailbox.

    Any one of `permissions` suffices. `offered` tells for which rows there is a button. `at_once` is how many
    rows one request takes; `leave` does something for the rest, without which more are refused. One that `hurries` is
    begun for no more rows once the time of a request is over, which is told.
    """

    name: str
    label: _StrOrPromise
    run: Callable[[MailCredentials, Any], Result]
    offered: Callable[[MailCredentials], bool]
    permissions: tuple[str, ...] = ("change",)
    at_once: int = 1000
    leave: Callable[[Any], int] | None = None
    confirmed: bool = False
    hurries: bool = False


_EXPLANATIONS: dict[type[MailOAuthError], _StrOrPromise] = {
    ReauthRequired: gettext_lazy("its user must connect it again"),
    AdminRequired: gettext_lazy("the user's organisation must allow it at the provider"),
    MailboxDisconnected: gettext_lazy("it is disconnected, or its OAuth is switched off"),
    CredentialsUnreadable: gettext_lazy(
        "its tokens cannot be decrypted; manage.py mail_oauth key_status tells of missing keys"
    ),
    SealError: gettext_lazy(
        "its tokens cannot be decrypted; manage.py mail_oauth key_status tells of missing keys"
    ),
    ProviderUnavailable: gettext_lazy("not refreshed; the grant is kept and tried again"),
    TransactionHeld: gettext_lazy("SQLite cannot do this inside a transaction"),
    ConfigurationError: gettext_lazy("the settings of its provider are wrong"),
}


def perform(operation: Operation, row: MailCredentials, actor: Any) -> Result:
    """Do it to one row; what a `MailOAuthError` means is said in words, with its reason code."""
    try:
        return operation.run(row, actor)
    except MailOAuthError as error:
        return Result(False, explain(error))
    except ObjectDoesNotExist:
        return Result(False, _("it was deleted meanwhile"))


def explain(error: MailOAuthError) -> str:
    """Say what an error means, with its reason code."""
    words = next((text for kind, text in _EXPLANATIONS.items() if isinstance(error, kind)), None)
    text = str(words) if words else type(error).__name__
    reason = getattr(error, "reason", "")
    return f"{text} ({reason})" if reason else text


def _refresh_now(row: MailCredentials, _actor: Any) -> Result:
    token = row.refresh_now()
    return Result(True, _("refreshed; the new token expires %(when)s") % {"when": _when(token.expires_at)})


def _rebuild(row: MailCredentials, _actor: Any) -> Result:
    """Replace what the cache holds by what the row says now.

    Forgetting also removes a tombstone. Should the mailbox change between reading the row and writing the
    copy, the copy goes again: nothing may outlive a disconnect.
    """
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    current = rows.get(pk=row.pk)
    token_cache.forget(current.pk)
    if not current.is_connected:
        buried = token_cache.bury(current.pk, current.generation)
        return Result(buried, _("a tombstone stands in the cache") if buried else _unwritten())
    token = current.open_access_token()
    if token is None or token.seconds_left(timezone.now()) < 1:
        return Result(True, _("the cache entry was removed; the next refresh fills it"))
    stored = token_cache.put(current.pk, token)
    latest = rows.filter(pk=row.pk).values_list("generation", flat=True).first()
    if latest != current.generation:
        token_cache.bury(row.pk, current.generation)
        return Result(False, _("it changed meanwhile: the next use fills the cache"))
    return Result(stored, _("the cache entry was rebuilt") if stored else _unwritten())


def _unwritten() -> str:
    return _("the cache could not be written")


def _pause(row: MailCredentials, actor: Any) -> Result:
    if pause(row, actor=actor):
        return Result(True, _("OAuth is switched off; the tokens are kept"))
    return Result(False, _("OAuth was switched off already"))


def _resume(row: MailCredentials, actor: Any) -> Result:
    if resume(row, actor=actor):
        return Result(True, _("OAuth is switched on"))
    return Result(False, _("OAuth was switched on already"))


_REVOCATIONS: dict[Revocation, _StrOrPromise] = {
    Revocation.REVOKED: gettext_lazy("disconnected; the grant was revoked at the provider"),
    Revocation.UNSUPPORTED: gettext_lazy(
        "disconnected; its provider has no way to revoke, so the user withdraws access in their account there"
    ),
    Revocation.NOTHING: gettext_lazy(
        "disconnected here; the app's own access goes on until an administrator takes it away at the provider"
    ),
    Revocation.KEPT: gettext_lazy("disconnected; the grant stays, because another mailbox lives on it"),
    Revocation.FAILED: gettext_lazy("disconnected; revoking the grant at the provider failed"),
}


def _disconnect(row: MailCredentials, actor: Any) -> Result:
    if row.status == Status.DISCONNECTED:
        return Result(False, _("it was disconnected already"))
    return Result(True, str(_REVOCATIONS[disconnect(row, actor=actor)]))


def _when(at: Any) -> str:
    return distance(at, timezone.now())


def _present(row: MailCredentials) -> bool:
    return row.status != Status.DISCONNECTED


REFRESH = Operation(
    name="refresh_now",
    label=gettext_lazy("Refresh now"),
    run=_refresh_now,
    offered=lambda row: row.use_oauth and row.status in REFRESHABLE,
    at_once=50,
    leave=lambda rows: int(rows.make_due()),
)
REBUILD = Operation(
    name="rebuild_cache_entry",
    label=gettext_lazy("Rebuild cache entry"),
    run=_rebuild,
    offered=lambda _row: True,
)
PAUSE = Operation(
    name="pause",
    label=gettext_lazy("Switch OAuth off"),
    run=_pause,
    offered=lambda row: _present(row) and row.use_oauth,
)
RESUME = Operation(
    name="resume",
    label=gettext_lazy("Switch OAuth on"),
    run=_resume,
    offered=lambda row: _present(row) and not row.use_oauth,
)
DISCONNECT = Operation(
    name="disconnect",
    label=gettext_lazy("Disconnect"),
    run=_disconnect,
    offered=_present,
    permissions=("change", "delete"),
    at_once=50,
    confirmed=True,
)
OPERATIONS = {each.name: each for each in (REFRESH, REBUILD, PAUSE, RESUME, DISCONNECT)}
