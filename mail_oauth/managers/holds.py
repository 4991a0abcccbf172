"""The holds of lanes: beginning and ending them, and who shares whose lane."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models import Max
from django.utils import timezone

from mail_oauth import signals
from mail_oauth.conf import app_settings
from mail_oauth.managers.budget import CallBudgetQuerySet
from mail_oauth.managers.counts import RefreshCountQuerySet
from mail_oauth.managers.health import ProviderFaultQuerySet, ProviderHealthQuerySet, board
from mail_oauth.providers import provider_for
from mail_oauth.refresh.classification import Trouble
from mail_oauth.refresh.lanes import Calling, Hold, Sightings
from mail_oauth.refresh.verdicts import Verdict

if TYPE_CHECKING:
    from mail_oauth.managers import MailCredentialsManager

logger = logging.getLogger(__name__)


class Holds:
    """The holds of all lanes, in the database of one manager."""

    def __init__(self, manager: MailCredentialsManager, *, prepaid: bool = False) -> None:
        """Read and write where the mailboxes are written.

        `prepaid`: the one who calls keeps to the budgets of calls by itself, and adds up what is counted.
        """
        using = manager.write_alias()
        self.prepaid = prepaid
        self.rows = manager.using(using)
        self.health: ProviderHealthQuerySet = _table("ProviderHealth").using(using)
        self.faults: ProviderFaultQuerySet = _table("ProviderFault").using(using)
        self.counts: RefreshCountQuerySet = _table("RefreshCount").using(using)
        self.budgets: CallBudgetQuerySet = _table("CallBudget").using(using)

    def release(self, pk: int, *, over: bool = False) -> bool:
        """End a hold, with `over` only if its time is over, and say so once."""
        released = self.health.release(pk, over=over)
        board.forget()
        if released:
            health: Any = self.health.get(pk=pk)
            logger.warning("%s is over", health, extra=_about(health, "released"))
            _send(signals.lane_released, health)
        return released

    def hold_by_hand(self, provider: str, tenant: str, seconds: float) -> Any:
        """Hold a lane because staff want it; return its row. One that they hold already is held on at least that long."""
        self._begin(provider, tenant, Trouble.BY_HAND, "by_hand", seconds)
        return self.health.get(provider=provider, tenant=tenant, trouble=Trouble.BY_HAND.value)

    def silence(self, row: Calling) -> float:
        """Return for how many seconds nobody is to be told of a mailbox; 0 when that may be.

        While its lane is held or the brake is pulled, what it was refused for may be no fault of its user's; and where the
        client itself is refused, nobody could reconnect.
        """
        pause = float(app_settings().circuit_pause)
        seconds = (
            hold.seconds if hold.trouble is Trouble.REAUTH else max(hold.seconds, pause)
            for hold in self._of_lane(row)
        )
        return max(seconds, default=0.0)

    def _hold(self, provider: str, tenant: str, verdict: Verdict, seconds: float) -> None:
        """Hold a lane for a verdict's trouble."""
        if verdict.trouble is not None:
            self._begin(provider, tenant, verdict.trouble, verdict.reason, seconds)

    def _begin(self, provider: str, tenant: str, trouble: Trouble, reason: str, seconds: float) -> None:
        """Hold a lane, and say so once."""
        health = self.health.hold(provider, tenant, trouble, reason=reason, seconds=seconds)
        board.forget()
        if health is not None:
            logger.error("%s (%s)", health, reason, extra=_about(health, "held"))
            _send(signals.lane_held, health)

    def _note(self, row: Calling, trouble: Trouble) -> str:
        """Write a fault down, and return the organisation whose lane it is on."""
        tenant = self._tenant(row)
        self.faults.create(provider=row.provider, tenant=tenant, trouble=trouble.value, mailbox=row.pk)
        return tenant

    def _holds(self, row: Calling) -> list[Hold]:
        """Return what holds the calls of a mailbox."""
        return [hold for hold in self._of_lane(row) if hold.trouble is not Trouble.REAUTH]

    def _of_lane(self, row: Calling) -> list[Hold]:
        """Return every hold of a mailbox's app and organisation."""
        holds = board.holds(self.health)
        lanes = {(row.provider, ""), (row.provider, self._tenant(row))} if holds else set()
        return [hold for hold in holds if (hold.provider, hold.tenant) in lanes]

    def _tenant(self, row: Calling) -> str:
        """Return the organisation that a mailbox shares its fate with; empty where it is nobody's."""
        return self._organisation(row.provider, row.tenant)

    def _organisation(self, provider: str, tenant: str) -> str:
        try:
            return provider_for(provider).organisation(tenant)
        except Exception:  # noqa: BLE001  # a provider that is gone from the settings, or a project's own class
            return tenant

    def _only_tenant(self, row: Calling) -> bool:
        return not self.rows.filter(provider=row.provider).exclude(tenant=row.tenant).exists()

    def _seen(self, provider: str, tenant: str, trouble: Trouble) -> Sightings:
        """Count who had a trouble on a lane within the window, and since the last success there.

        Where enough had it, most lanes have a success after that, and it is found at once. Only a lane that is
        about to be held has its last success looked for.
        """
        since = self._window(provider, tenant, trouble)
        enough = self.faults.enough_since(provider, trouble, since, tenant, app_settings().circuit_mailboxes)
        if enough is None:
            return Sightings()
        successes = self.rows.filter(provider=provider)
        if tenant:
            successes = successes.filter(tenant=tenant)
        if successes.filter(last_refreshed_at__gt=enough).exists():
            return Sightings()
        latest = successes.filter(last_refreshed_at__gt=since).aggregate(at=Max("last_refreshed_at"))["at"]
        return self.faults.seen(provider, trouble, latest or since, tenant)

    def _window(self, provider: str, tenant: str, trouble: Trouble) -> datetime:
        """Return the beginning of `CIRCUIT_WINDOW`, or when the lane was last released, whichever is later."""
        begin = timezone.now() - timedelta(seconds=app_settings().circuit_window)
        known = self.health.filter(provider=provider, tenant=tenant, trouble=trouble.value)
        released = known.values_list("released_at", flat=True).first()
        return max(begin, released) if released else begin


def _table(name: str) -> Any:
    """Return the manager of a model, which lies on the floor above."""
    return apps.get_model("mail_oauth", name)._default_manager


def _send(signal: Any, health: Any) -> None:
    for receiver, answer in signal.send_robust(type(health), health=health):
        if isinstance(answer, Exception):
            about = {**_about(health, "told"), "action": "receiver_failed"}
            logger.error("receiver %r failed", receiver, exc_info=answer, extra=about)


def _about(health: Any, outcome: str) -> dict[str, object]:
    return {
        "action": "lane",
        "provider": health.provider,
        "tenant": health.tenant,
        "trouble": health.trouble,
        "reason": health.reason,
        "outcome": outcome,
    }
