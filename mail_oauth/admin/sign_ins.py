"""Signing in to mailboxes on trial: what the page says of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.admin.batches import BUDGET_SECONDS
from mail_oauth.admin.operations import Operation, Result
from mail_oauth.mailbox.stages import Stage
from mail_oauth.mailbox.trials import Outcome, Step
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
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


def _test(row: MailCredentials, _actor: Any) -> Result:
    found = sign_in_everywhere(row, seconds=BUDGET_SECONDS)
    works = found.came_to(Outcome.OK)
    return Result(bool(works) and not found.failed, _in_short(found, works), tuple(map(_line, found.steps)))


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
    offered=lambda row: row.status != Status.DISCONNECTED and row.use_oauth,
    at_once=20,
    hurries=True,
)
