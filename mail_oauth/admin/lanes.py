"""Lanes in words, and what staff may have done to them: try, release, and hold by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from mail_oauth.admin.aliases import configured_aliases, provider_name
from mail_oauth.admin.moments import span
from mail_oauth.admin.notices import Badge, Level
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.vocabulary import TroubleKind
from mail_oauth.models import ProviderHealth
from mail_oauth.operations.contract import Result

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

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
    TroubleKind.BY_HAND: gettext_lazy(
        "Staff hold these calls: no token is refreshed, whoever asks for it. When the time is over, one call tries, and "
        "the others follow. “Release” ends this now."
    ),
}


def lane_badge(row: ProviderHealth, now: datetime) -> Badge:
    """Return the state of a lane in a few words."""
    if not row.held:
        return Badge(Level.GOOD, pgettext("calls of a provider", "free"))
    if row.held_until is not None and row.held_until > now:
        return Badge(Level.BAD, pgettext("calls of a provider", "held"))
    # The brake holds no calls that could try: it is lifted.
    return Badge(Level.WAIT, _("ends soon") if row.trouble == TroubleKind.REAUTH else _("trying soon"))


def what_to_do(row: ProviderHealth) -> str:
    """Say who must act, and how."""
    return str(_NEXT_STEPS[row.trouble]) if row.held else _("Nobody has to act: nothing is held.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneOperation:
    """Something that can be done to a lane.

    `offered` tells for which there is a button; `warning` is the question before it, if there is one.
    """

    name: str
    label: _StrOrPromise
    run: Callable[[Lanes, ProviderHealth], Result]
    offered: Callable[[ProviderHealth], bool] = lambda row: row.held
    warning: _StrOrPromise = ""


def _try_now(lanes: Lanes, row: ProviderHealth) -> Result:
    if lanes.health.filter(pk=row.pk).try_now():
        return Result(True, gettext_lazy("the next call that is due tries"))
    if row.held and row.trouble == TroubleKind.REAUTH:
        return Result(False, gettext_lazy("it holds no calls that could try; “Release” ends it"))
    return Result(False, gettext_lazy("it is not held"))


def _release(lanes: Lanes, row: ProviderHealth) -> Result:
    if not lanes.release(row.pk):
        return Result(False, gettext_lazy("it is not held"))
    if row.trouble == TroubleKind.REAUTH:
        return Result(True, gettext_lazy("released; users are told of refused grants again"))
    return Result(True, gettext_lazy("released; calls are made again as they fall due"))


TRY_NOW = LaneOperation(
    name="try_now",
    label=gettext_lazy("Try now"),
    run=_try_now,
    offered=lambda row: row.held and row.trouble != TroubleKind.REAUTH,
)
RELEASE = LaneOperation(
    name="release",
    label=gettext_lazy("Release"),
    run=_release,
    warning=gettext_lazy(
        "Calls are made again as they fall due, whether or not what held them is over. After the brake is released, "
        "users are told at once when their grants are refused."
    ),
)
LANE_OPERATIONS = {each.name: each for each in (TRY_NOW, RELEASE)}

_HOUR = 3600
_DURATIONS = (_HOUR, 4 * _HOUR, 24 * _HOUR, 7 * 24 * _HOUR)


def _durations() -> list[tuple[str, str]]:
    return [(str(seconds), span(seconds)) for seconds in _DURATIONS]


def _providers() -> list[tuple[str, str]]:
    return [(alias, provider_name(alias)) for alias in configured_aliases()]


class HoldForm(forms.Form):
    """Whose calls to hold, and for how long."""

    provider = forms.ChoiceField(label=gettext_lazy("Provider"), choices=_providers)
    tenant = forms.CharField(
        label=gettext_lazy("Organisation"),
        required=False,
        max_length=128,
        help_text=gettext_lazy("The tenant as its mailboxes' pages name it; empty: all of the provider's calls."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )
    seconds = forms.TypedChoiceField(label=pgettext_lazy("for how long", "For"), choices=_durations, coerce=int)
