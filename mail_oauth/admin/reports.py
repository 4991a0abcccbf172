"""Telling what came of an operation: messages on the page, and the log of the admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.batches import Batch
from mail_oauth.admin.operations import Operation, Result
from mail_oauth.admin.policies import Choice, chosen
from mail_oauth.models import MailCredentials

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    _Admin = ModelAdmin[MailCredentials]


def report(admin: _Admin, request: HttpRequest, operation: Operation, batch: Batch) -> None:
    """Tell and log every row's result, and what was left or refused."""
    for row, result in batch.results:
        report_one(admin, request, operation, row, result)
    if batch.refused:
        text = _("Nothing was done: select at most %(number)d mailboxes for “%(operation)s”.")
        text %= {"number": operation.at_once, "operation": operation.label}
        admin.message_user(request, text, messages.ERROR)
    if batch.undone:
        text = ngettext(
            "There was no time for %(number)d more mailbox: choose it again.",
            "There was no time for %(number)d more mailboxes: choose them again.",
            batch.undone,
        )
        admin.message_user(request, text % {"number": batch.undone}, messages.WARNING)
    if batch.left:
        text = ngettext(
            "%(number)d more mailbox is due now: the sweep takes it next.",
            "%(number)d more mailboxes are due now: the sweep takes them next.",
            batch.left,
        )
        admin.message_user(request, text % {"number": batch.left}, messages.INFO)


def _listed(text: str, lines: Sequence[str]) -> str:
    """Put lines under a message; a list within the admin's list of messages would look like more of them."""
    return format_html("{}{}", text, format_html_join("", "<br>{}", ((line,) for line in lines)))


def report_one(
    admin: _Admin, request: HttpRequest, operation: Operation, row: MailCredentials, result: Result
) -> None:
    """Tell and log what came of one row."""
    level = messages.SUCCESS if result.done else messages.WARNING
    text = f"{row.email}: {result.text}."
    admin.message_user(request, _listed(text, result.lines) if result.lines else text, level)
    admin.log_change(request, row, f"{operation.label}: {result.text}.")


def report_choice(admin: _Admin, request: HttpRequest, operation: Operation, choice: Choice) -> None:
    """Tell how many mailboxes are under a policy now; each was logged as it was changed."""
    texts = [
        ngettext(
            "Kept warm: %(policy)s. %(number)d mailbox was changed.",
            "Kept warm: %(policy)s. %(number)d mailboxes were changed.",
            choice.changed,
        )
        % {"policy": operation.label, "number": choice.changed}
    ]
    if choice.same:
        same = ngettext("%(number)d was so before.", "%(number)d were so before.", choice.same)
        texts.append(same % {"number": choice.same})
    admin.message_user(request, " ".join(texts), messages.SUCCESS if choice.changed else messages.WARNING)
    if choice.left:
        left = ngettext(
            "%(number)d more mailbox is left: choose it again.",
            "%(number)d more mailboxes are left: choose it again for them.",
            choice.left,
        )
        admin.message_user(request, left % {"number": choice.left}, messages.WARNING)


def log_choice(request: HttpRequest, operation: Operation, rows: Sequence[MailCredentials]) -> None:
    """Log that each of these was put under a policy, as `report_one` does, by one statement."""
    text = f"{operation.label}: {chosen(operation.label).text}."
    log: Any = LogEntry.objects  # it only walks along what it is given
    log.log_actions(request.user.pk, rows, CHANGE, text)
