"""How the providers are: the lanes that are or were held, what to do about it, and trying or releasing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.filters import ProviderFilter
from mail_oauth.admin.moments import DASH, distance
from mail_oauth.admin.notices import Badge, Level
from mail_oauth.admin.operations import Result
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.vocabulary import TroubleKind
from mail_oauth.models import MailCredentials, ProviderHealth

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

    _HealthAdmin = admin.ModelAdmin[ProviderHealth]
else:
    _HealthAdmin = admin.ModelAdmin

AT_ONCE = 100
"""How many lanes one action takes."""

_NEXT_STEPS: dict[str, _StrOrPromise] = {
    TroubleKind.CLIENT: gettext_lazy(
        'The provider refuses this site\'s client id or secret: mend it in MAIL_OAUTH["PROVIDERS"], or renew it at '
        "the provider. Calls then resume by themselves."
    ),
    TroubleKind.CONFIGURATION: gettext_lazy(
        "The provider refuses how this site, or the organisation, is set up there: look up what the reason means, "
        "and mend MAIL_OAUTH[\"PROVIDERS\"] or the app's registration, or have the organisation's administrator "
        "allow it. Calls then resume by themselves."
    ),
    TroubleKind.OUTAGE: gettext_lazy(
        "The provider cannot be reached, or answers with errors of its own: look at its status page, and whether "
        "this site's network lets calls out. Calls resume by themselves when it answers."
    ),
    TroubleKind.THROTTLE: gettext_lazy(
        "The provider asks for a pause. Nobody has to act: calls resume by themselves. If it happens often, ask the "
        "provider for a higher limit."
    ),
    TroubleKind.REAUTH: gettext_lazy(
        "The provider refused so many grants at once that it is hardly their users' doing: look for an incident or a "
        "changed policy there. Calls go on; users are told to reconnect only if they are refused again afterwards. "
        "“Release” ends this now."
    ),
}


def lane_badge(row: ProviderHealth, now: datetime) -> Badge:
    """Return the state of a lane in a few words."""
    if not row.held:
        return Badge(Level.GOOD, _("free"))
    if row.held_until is not None and row.held_until > now:
        return Badge(Level.BAD, _("held"))
    # The brake holds no calls that could try: it is lifted.
    return Badge(Level.WAIT, _("ends soon") if row.trouble == TroubleKind.REAUTH else _("trying soon"))


def what_to_do(row: ProviderHealth) -> str:
    """Say who must act, and how."""
    return str(_NEXT_STEPS[row.trouble]) if row.held else _("Nobody has to act: nothing is held.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneOperation:
    """Something that can be done to a lane."""

    label: _StrOrPromise
    run: Callable[[Lanes, ProviderHealth], Result]


def _try_now(lanes: Lanes, row: ProviderHealth) -> Result:
    if lanes.health.filter(pk=row.pk).try_now():
        return Result(True, _("the next call that is due tries"))
    if row.held and row.trouble == TroubleKind.REAUTH:
        return Result(False, _("it holds no calls that could try; “Release” ends it"))
    return Result(False, _("it is not held"))


def _release(lanes: Lanes, row: ProviderHealth) -> Result:
    if not lanes.release(row.pk):
        return Result(False, _("it is not held"))
    if row.trouble == TroubleKind.REAUTH:
        return Result(True, _("released; users are told of refused grants again"))
    return Result(True, _("released; calls are made again as they fall due"))


TRY_NOW = LaneOperation(label=gettext_lazy("Try now"), run=_try_now)
RELEASE = LaneOperation(label=gettext_lazy("Release"), run=_release)


@admin.register(ProviderHealth)
class ProviderHealthAdmin(_HealthAdmin):
    """Lanes to look at. Nothing is edited; `change` permission opens the actions."""

    list_display = (
        "provider_words",
        "organisation",
        "trouble",
        "state",
        "reason_code",
        "since",
        "next_trial",
        "trials",
        "released",
    )
    list_display_links = ("trouble",)
    list_filter = ("held", "trouble", ProviderFilter)
    list_per_page = AT_ONCE
    sortable_by = ("provider_words", "organisation", "trouble")
    ordering = ("-held", "-held_since", "-pk")
    show_full_result_count = False
    empty_value_display = DASH
    actions = ("try_now", "release")
    fields = readonly_fields = (
        "state",
        "next_step",
        "provider_words",
        "organisation",
        "trouble",
        "reason_code",
        "held_since",
        "held_until",
        "trials",
        "released_at",
    )

    class Media:
        css = {"all": ("mail_oauth/admin.css",)}

    # --- what is shown ---

    @admin.display(description=gettext_lazy("provider"), ordering="provider")
    def provider_words(self, row: ProviderHealth) -> str:
        """What people call the provider."""
        return provider_name(row.provider)

    @admin.display(description=gettext_lazy("organisation"), ordering="tenant")
    def organisation(self, row: ProviderHealth) -> str:
        """Whose calls they are; a dash for all of the app."""
        return row.tenant or DASH

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: ProviderHealth) -> str:
        """The state in words."""
        shown = lane_badge(row, timezone.now())
        return format_html('<span class="mail-oauth-badge mail-oauth-{}">{}</span>', shown.level, shown.words)

    @admin.display(description=gettext_lazy("reason"))
    def reason_code(self, row: ProviderHealth) -> str:
        """The code that began it."""
        return row.reason or DASH

    @admin.display(description=gettext_lazy("held since"))
    def since(self, row: ProviderHealth) -> str:
        """When it was held last."""
        return distance(row.held_since, timezone.now())

    @admin.display(description=gettext_lazy("next trial"))
    def next_trial(self, row: ProviderHealth) -> str:
        """When a call tries, or the brake ends."""
        now = timezone.now()
        is_due = row.held_until is not None and row.held_until <= now
        return _("due") if is_due else distance(row.held_until, now)

    @admin.display(description=gettext_lazy("released"))
    def released(self, row: ProviderHealth) -> str:
        """When it ended."""
        return distance(row.released_at, timezone.now())

    @admin.display(description=gettext_lazy("what to do"))
    def next_step(self, row: ProviderHealth) -> str:
        """Who must act, and how."""
        return what_to_do(row)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or run an action; one that the user may not run is refused, not ignored."""
        if request.method == "POST":
            allowed = self.get_actions(request)
            if any(name and name not in allowed for name in request.POST.getlist("action")):
                raise PermissionDenied
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a lane and what to do about it. There is nothing to save, and a POST is refused."""
        if request.method == "POST":
            raise PermissionDenied
        shown = {"title": capfirst(self.opts.verbose_name), "show_save": False, "show_save_and_continue": False}
        return super().change_view(request, object_id, form_url, shown | (extra_context or {}))

    # --- permissions ---

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Lanes are held by what happens."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ProviderHealth | None = None) -> bool:
        """A hold is released, not deleted: its row remembers since when failures count."""
        return False

    # --- operations ---

    @admin.action(description=TRY_NOW.label, permissions=("change",))
    def try_now(self, request: HttpRequest, queryset: QuerySet[ProviderHealth]) -> None:
        """Let the next call that is due try."""
        self._operate(request, queryset, TRY_NOW)

    @admin.action(description=RELEASE.label, permissions=("change",))
    def release(self, request: HttpRequest, queryset: QuerySet[ProviderHealth]) -> None:
        """End holds and brakes."""
        self._operate(request, queryset, RELEASE)

    def _operate(self, request: HttpRequest, queryset: QuerySet[ProviderHealth], operation: LaneOperation) -> None:
        rows = list(queryset[: AT_ONCE + 1])
        if len(rows) > AT_ONCE:
            text = _("Nothing was done: select at most %(number)d lanes for “%(operation)s”.")
            text %= {"number": AT_ONCE, "operation": operation.label}
            self.message_user(request, text, messages.ERROR)
            return
        lanes = Lanes(MailCredentials.objects)
        for row in rows:
            result = operation.run(lanes, row)
            level = messages.SUCCESS if result.done else messages.WARNING
            self.message_user(request, f"{row}: {result.text}.", level)
            self.log_change(request, row, f"{operation.label}: {result.text}.")
