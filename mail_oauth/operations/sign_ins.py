"""Signing in to mailboxes on trial: what the page says of each step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.utils.functional import lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext, pgettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from mail_oauth.exceptions import ConfigurationError, MailServerError
from mail_oauth.mailbox.stages import Stage
from mail_oauth.mailbox.trials import Outcome, Step
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import BUDGET_SECONDS, Operation, Order, Result, explain
from mail_oauth.operations.use import present
from mail_oauth.upkeep.signing_in import SignIns, sign_in_everywhere

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_STAGES: dict[Stage, _StrOrPromise] = {
    Stage.TOKEN: pgettext_lazy("step of a sign-in", "token"),
    Stage.CONNECT: pgettext_lazy("step of a sign-in", "connection"),
    Stage.TLS: "TLS",
    Stage.SIGN_IN: pgettext_lazy("step of a sign-in", "sign-in"),
    Stage.LIST: pgettext_lazy("step of a sign-in", "look into the mailbox"),
    Stage.SEND: pgettext_lazy("step of a sign-in", "test message"),
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


def _in_short(found: SignIns, works: list[str]) -> _StrOrPromise:
    if found.failed:
        steps = lazy(lambda: _listed(map(_name, found.failed)), str)()
        return format_lazy(_("sign-in tested, and failed: {steps}"), steps=steps)
    if works:
        protocols = lazy(lambda: _listed(works), str)()
        return format_lazy(_("sign-in tested: it works by {protocols}"), protocols=protocols)
    return _("there was no protocol by which to sign in")


def _listed(words: Iterable[str]) -> str:
    return pgettext("between the members of a list", ", ").join(words)


def _name(step: Step) -> str:
    words = {"protocol": step.protocol, "step": _STAGES[step.stage]}
    return gettext("%(protocol)s %(step)s") % words if step.protocol else str(words["step"])


def _line(step: Step) -> str:
    words = {"mark": _MARKS[step.outcome], "step": _name(step), "what": _what(step), "number": step.milliseconds}
    if step.outcome is Outcome.SKIPPED:
        return gettext("%(mark)s %(step)s: skipped: %(what)s") % words
    return gettext("%(mark)s %(step)s: %(what)s (%(number).0f ms)") % words


def _what(step: Step) -> str:
    """Say it in the reader's language; what settings lack is said in English below a headline."""
    if step.error is None or isinstance(step.error, MailServerError):
        return step.what
    if isinstance(step.error, ConfigurationError):
        return gettext("%(headline)s: %(detail)s") % {"headline": explain(step.error), "detail": step.error}
    return str(explain(step.error))


TEST_SIGN_IN = Operation(
    name="test_sign_in",
    label=_("Test sign-in"),
    run=_test,
    offered=lambda row: present(row) and row.use_oauth,
    permissions=("test_sign_in",),
    kind=EventKind.SIGN_IN_TESTED,
    warning=_("Each is signed in to by IMAP, POP and SMTP. Nothing is read, sent or changed."),
    at_once=3,
)
