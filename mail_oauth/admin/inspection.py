"""Everything that the inspection page shows of one mailbox. Reads the row, the cache and the history only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from mail_oauth.admin.aliases import provider_name, provider_problem
from mail_oauth.admin.comparison import Comparison, compare, unreachable
from mail_oauth.admin.moments import DASH, Moment, moment
from mail_oauth.admin.notices import Badge, Level, Notice, badge, is_called, notices, trouble_of
from mail_oauth.admin.panels import ScopeLine, TokenPanel, access_token_panel, refresh_token_panel, scope_lines
from mail_oauth.admin.policies import policy_words
from mail_oauth.admin.timeline import Timeline, timeline
from mail_oauth.cache import token_cache
from mail_oauth.managers.app_tokens import app_row
from mail_oauth.managers.lanes import Lanes
from mail_oauth.models import CredentialEvent, MailCredentials

EVENTS_SHOWN = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One line of a panel. `code`: a technical value, shown as such."""

    label: str
    text: str = ""
    moment: Moment | None = None
    url: str = ""
    code: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """The panels of the page, from top to bottom."""

    badge: Badge
    notices: list[Notice]
    timeline: Timeline
    account: list[Fact]
    schedule: list[Fact]
    tokens: list[TokenPanel]
    scopes: list[ScopeLine]
    cache: Comparison
    events: list[CredentialEvent]
    events_shown: int = EVENTS_SHOWN


def _by_the_app(trouble: Notice) -> Notice:
    headline = _("The app's own access, which opens this mailbox: %(state)s") % {"state": trouble.headline}
    return Notice(trouble.level, headline, trouble.next_step)


def inspect_mailbox(row: MailCredentials, *, user_url: str = "") -> Inspection:
    """Look at one mailbox: its history, its lane and its cached copy; its provider is not called."""
    now = timezone.now()
    problem = provider_problem(row.provider)
    hold = Lanes(MailCredentials.objects).holding(row) if is_called(row) else None
    tokens = [access_token_panel(row, now), refresh_token_panel(row, now)]
    unreadable = bool(tokens[1].problem)  # an access token alone is replaced by the next refresh
    events = list(row.events.select_related("actor").order_by("-created_at", "-pk")[:EVENTS_SHOWN])
    said = notices(row, now, unreadable=unreadable, provider_problem=problem, hold=hold)
    app = app_row(row)
    trouble = trouble_of(app, now)
    if trouble is not None:  # of which the mailbox's own row knows nothing
        said = [_by_the_app(trouble), *(each for each in said if each.level is not Level.GOOD)]
    in_the_way = app if trouble is not None and row.is_connected else None
    return Inspection(
        badge=badge(in_the_way or row, unreadable=unreadable),
        notices=said,
        timeline=timeline(row, events, now),
        account=account(row, now, user_url),
        schedule=schedule(row, now),
        tokens=tokens,
        scopes=scope_lines(row),
        cache=cache_state(row, now),
        events=events,
    )


def cache_state(row: MailCredentials, now: datetime) -> Comparison:
    """Compare a row with its cached copy, whose token is not fetched where the cache can do that."""
    try:
        header = token_cache.headers([row.pk])[row.pk]
    except Exception as error:  # noqa: BLE001  # whatever a cache raises is what the page has to show
        return unreachable(row, type(error).__name__, now)
    return compare(row, header, now)


def account(row: MailCredentials, now: datetime, user_url: str) -> list[Fact]:
    """Say whose mailbox it is, where, and since when."""
    verified = _("verified by the provider") if row.email_verified else _("not verified")
    name = provider_name(row.provider)
    return [
        Fact(
            label=_("Mailbox address"),
            text=_("%(email)s (%(verified)s)") % {"email": row.email, "verified": verified},
        ),
        Fact(label=_("Sign-in address"), text=row.sign_in_address or DASH),
        Fact(label=pgettext("fact", "User"), text=str(row.user or DASH), url=user_url),
        Fact(label=_("Opened by"), text=str(row.get_access_display())),
        Fact(label=_("Provider"), text=name if name == row.provider else f"{name} ({row.provider})"),
        Fact(label=_("Issuer"), text=row.issuer or DASH, code=True),
        Fact(label=pgettext("fact", "Subject"), text=row.subject or DASH, code=True),
        Fact(label=_("Tenant"), text=row.tenant or DASH, code=True),
        Fact(label=_("UUID"), text=str(row.pk), code=True),
        Fact(label=pgettext("fact", "Connected"), moment=moment(row.connected_at, now)),
        Fact(label=_("Last used"), moment=moment(row.last_used_at, now)),
        Fact(label=_("Kept warm"), text=policy_words(row)),
    ]


def schedule(row: MailCredentials, now: datetime) -> list[Fact]:
    """Say what was tried, and what comes next. While a mailbox is leased, `refresh_at` ends the lease."""
    leased = bool(row.lease_owner)
    return [
        Fact(label=_("Status since"), moment=moment(row.status_changed_at, now)),
        Fact(label=pgettext("fact", "Generation"), text=str(row.generation)),
        Fact(label=_("Last refreshed"), moment=moment(row.last_refreshed_at, now)),
        Fact(label=_("Failures in a row"), text=str(row.refresh_failures)),
        Fact(label=_("Last error"), text=row.last_refresh_error or DASH, code=True),
        Fact(
            label=_("Last outcome"),
            text=pgettext("outcome", "unknown: no answer came")
            if row.outcome_unknown
            else pgettext("outcome", "known"),
        ),
        Fact(label=_("Leased by"), text=row.lease_owner or pgettext("leased by", "nobody"), code=leased),
        Fact(label=_("Lease ends") if leased else _("Next refresh"), moment=moment(row.refresh_at, now)),
    ]
