"""Telling what came of an operation: messages on the page, and the log of the admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override, pgettext

from mail_oauth.admin.policies import Choice, chosen
from mail_oauth.models import BulkJob, ItemState, MailCredentials
from mail_oauth.operations.contract import Operation, Result

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import Model
    from django.utils.functional import _StrOrPromise

    _Admin = ModelAdmin[MailCredentials]


def _listed(text: str, lines: Sequence[str]) -> str:
    """Put lines under a message; a list within the admin's list of messages would look like more of them."""
    return format_html("{}{}", text, format_html_join("", "<br>{}", ((line,) for line in lines)))


def report_one(
    admin: _Admin, request: HttpRequest, operation: Operation, row: MailCredentials, result: Result
) -> None:
    """Tell and log what came of one row."""
    tell(admin, request, row.email or str(row), result)
    log_result(admin, request, row, operation.label, result)


def log_result(
    admin: ModelAdmin[Any], request: HttpRequest, row: Model, label: _StrOrPromise, result: Result
) -> None:
    """Log what was done, in English: others read it than who had it done."""
    with override(None):
        admin.log_change(request, row, f"{label}: {result.text}.")


def report_items(admin: _Admin, request: HttpRequest, job: BulkJob) -> None:
    """Tell what came of each mailbox of a small job; it was logged as it was done."""
    items = list(job.items.order_by("pk"))
    rows = MailCredentials.objects.filter(pk__in=[item.mailbox for item in items])
    names = {row.pk: row.email or str(row) for row in rows.only("pk", "email", "provider")}
    for item in items:
        text, *lines = item.text.split("\n")
        result = Result(item.state == ItemState.DONE, text, tuple(lines))
        tell(admin, request, names.get(item.mailbox, str(item.mailbox)), result)


def tell(admin: ModelAdmin[Any], request: HttpRequest, name: str, result: Result) -> None:
    """Tell what came of something that has a name, in an element of the name's own.

    The admin's page makes the first letter of a message a capital, and an address or an alias is as it is.
    """
    level = messages.SUCCESS if result.done else messages.WARNING
    sentence = _("%(name)s: %(text)s.") % {"name": "<bdi>{name}</bdi>", "text": "{text}"}
    text = format_html(sentence, name=name, text=result.text)
    admin.message_user(request, _listed(text, result.lines) if result.lines else text, level)


def sentences(texts: Sequence[str]) -> str:
    """Put sentences after each other, as the language does."""
    return pgettext("between two sentences", " ").join(texts)


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
    admin.message_user(request, sentences(texts), messages.SUCCESS if choice.changed else messages.WARNING)
    if choice.left:
        left = ngettext(
            "%(number)d more mailbox is left: choose it again.",
            "%(number)d more mailboxes are left: choose it again for them.",
            choice.left,
        )
        admin.message_user(request, left % {"number": choice.left}, messages.WARNING)


def log_choice(request: HttpRequest, operation: Operation, rows: Sequence[MailCredentials]) -> None:
    """Log that each of these was put under a policy, as `report_one` does, by one statement."""
    with override(None):
        text = f"{operation.label}: {chosen(operation.label).text}."
    log: Any = LogEntry.objects  # it only walks along what it is given
    log.log_actions(request.user.pk, rows, CHANGE, text)
