"""What an operation on a mailbox is: one row in, one result in words out, and an event that says who had it done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

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
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

logger = logging.getLogger(__name__)

BUDGET_SECONDS = 20.0
"""How long one request goes on starting operations: below the patience of common proxies."""

AT_ONCE = 20
"""So many mailboxes are operated on within one request; more of them are a job, which workers do."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an operation. `text` goes on the page and, in English, into the log of the admin: no secret in it.

    `lines` go on the page under it. `reason` is the code of a failure, for the event.
    """

    done: bool
    text: _StrOrPromise
    lines: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Who has something done. `origin`: scheme and host under which that person reached this site."""

    actor: Any
    origin: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """Something that can be done to a mailbox.

    Any one of `permissions` suffices. `offered` tells for which rows there is a button. `kind` is the event that says
    who had it done; None where `run` writes one itself. Before many are operated on there is a question, before one
    only if it is `confirmed`; `warning` is what the question says, `warning_of_app` where it is about an app's own
    access. With `mailboxes_only` that is left out among many. `at_once` is how many rows one request takes.
    `leave` does something for those that are too many even for a job, which are else refused.
    """

    name: str
    label: _StrOrPromise
    run: Callable[[MailCredentials, Order], Result]
    offered: Callable[[MailCredentials], bool]
    permissions: tuple[str, ...]
    kind: EventKind | None = None
    warning: _StrOrPromise = ""
    confirmed: bool = False
    warning_of_app: _StrOrPromise = ""
    mailboxes_only: bool = False
    at_once: int = AT_ONCE
    leave: Callable[[Any], int] | None = None


_EXPLANATIONS: dict[type[MailOAuthError], _StrOrPromise] = {
    ReauthRequired: _("its user must connect it again"),
    AdminRequired: _("the user's organisation must allow it at the provider"),
    MailboxDisconnected: _("it is disconnected, or its OAuth is switched off"),
    CredentialsUnreadable: _(
        "its tokens cannot be decrypted; manage.py mail_oauth key_status tells of missing keys"
    ),
    SealError: _("its tokens cannot be decrypted; manage.py mail_oauth key_status tells of missing keys"),
    ProviderUnavailable: _("not refreshed; the grant is kept and tried again"),
    TransactionHeld: _("SQLite cannot do this inside a transaction"),
    ConfigurationError: _("the settings of its provider are wrong"),
}


NOT_OFFERED = _("nothing was done: it is so already, or it cannot be done in its state")
"""What is said where an operation is not offered."""


def perform(operation: Operation, row: MailCredentials, order: Order) -> Result:
    """Do it to one row, and write down who had it done; an error is said in words, with its reason code.

    Nothing is done, and no event written, where it is not offered: a button may be pressed on a page of before, and
    many mailboxes are chosen whatever their state.
    """
    try:
        if not operation.offered(row):
            tell(row, operation.name, order, "failed", "not_offered")
            return Result(False, NOT_OFFERED, reason="not_offered")
        result = operation.run(row, order)
    except MailOAuthError as error:
        result = Result(False, explain(error), reason=reason_of(error))
    except ObjectDoesNotExist:
        return _deleted()
    if operation.kind is not None and not record(row, operation.kind, order, reason=result.reason):
        return _deleted()
    tell(row, operation.name, order, "done" if result.done else "failed", result.reason)
    return result


def tell(row: MailCredentials, what: str, order: Order, outcome: str, reason: str = "") -> None:
    """Write to the site's log what somebody had done to a mailbox."""
    by = str(order.actor.pk) if order.actor is not None else ""
    about = {"action": "operation", "operation": what, "mailbox": str(row.pk), "actor": by}
    logger.info(
        "%s of mailbox %s by user %s: %s %s",
        what,
        row.pk,
        by,
        outcome,
        reason,
        extra=about | {"outcome": outcome, "reason": reason},
    )


def record(row: MailCredentials, kind: EventKind, order: Order, *, reason: str = "", note: str = "") -> bool:
    """Write an event of somebody's doing; False where the mailbox is gone."""
    transitions = Transitions(MailCredentials.objects)
    rows = MailCredentials.objects.using(transitions.using).filter(pk=row.pk)
    generation = rows.values_list("generation", flat=True).first()
    if generation is None:
        return False
    try:
        with transaction.atomic(using=transitions.using):
            transitions.record(row, kind, reason=reason, generation=generation, actor=order.actor, note=note)
    except IntegrityError:  # it was deleted at this very moment
        return False
    return True


def _deleted() -> Result:
    return Result(False, _("it was deleted meanwhile"), reason="deleted")


def reason_of(error: MailOAuthError) -> str:
    """Return the code of an error: its reason, or else its kind."""
    return str(getattr(error, "reason", "") or getattr(error, "code", "") or type(error).__name__)


def explain(error: MailOAuthError) -> _StrOrPromise:
    """Say what an error means, with its reason code."""
    words = next((text for kind, text in _EXPLANATIONS.items() if isinstance(error, kind)), None)
    text = words or type(error).__name__
    reason = getattr(error, "reason", "")
    return format_lazy("{text} ({reason})", text=text, reason=reason) if reason else text
