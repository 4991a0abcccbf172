"""Signing in to mailboxes on trial: what the page says of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.mailbox.stages import Stage
from mail_oauth.mailbox.trials import Outcome, Step
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import BUDGET_SECONDS, Operation, Order, Result
from mail_oauth.operations.use import present
from mail_oauth.upkeep.signing_in import SignIns, sign_in_everywhere

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_STAGES: dict[Stage, _StrOrPromise] = {
    Stage.TOKEN: gettext_lazy("token"),
    Stage.CONNECT: gettext_lazy("connection"),
    Stage.TLS: gettext_lazy("TLS"),
    Stage.SIGN_IN: gettext_lazy("sign-in"),
    Stage.LIST: gettext_lazy("look into the mailbox"),
    Stage.SEND: gettext_lazy("test message"),
}
_MARKS = {
    Outcome.OK: "\N{CHECK MARK}",
    Outcome.FAILED: "\N{BALLOT X}",
    Outcome.SKIPPED: "\N{EN DASH}",
}


def _test(row: MailCredentials, _order: Order) -> Result:
    found = sign_in_everywhere(row, seconds=BUDGET_SECONDS)
    works = found.came_to(Outcome.OK)
    done = bool(works) and not found.failed
    return Result(done, _in_short(found, works), tuple(map(_line, found.steps)), "" if done else _reason(found))


def _reason(found: SignIns) -> str:
    return found.failed[0].reason if found.failed else "no_protocol"


def _in_short(found: SignIns, works: list[str]) -> str:
    if found.failed:
        return _("sign-in tested, and failed: %(steps)s") % {"steps": ", ".join(map(_name, found.failed))}
    if works:
        return _("sign-in tested: it works by %(protocols)s") % {"protocols": ", ".join(works)}
    return _("there was no protocol by which to sign in")


def _name(step: Step) -> str:
    return f"{step.protocol} {_STAGES[step.stage]}".strip()


def _line(step: Step) -> str:
    what = _("skipped: %(why)s") % {"why": step.what} if step.outcome is Outcome.SKIPPED else step.what
    took = "" if step.outcome is Outcome.SKIPPED else f" ({step.milliseconds:.0f} ms)"
    return f"{_MARKS[step.outcome]} {_name(step)}: {what}{took}"


TEST_SIGN_IN = Operation(
    name="test_sign_in",
    label=gettext_lazy("Test sign-in"),
    run=_test,
    offered=lambda row: present(row) and row.use_oauth,
    permissions=("test_sign_in",),
    kind=EventKind.SIGN_IN_TESTED,
    warning=gettext_lazy("Each is signed in to by IMAP, POP and SMTP. Nothing is read, sent or changed."),
    at_once=3,
)
