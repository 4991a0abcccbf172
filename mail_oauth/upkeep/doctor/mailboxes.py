"""The mailboxes: is anything overdue, held, leased to the dead, or waiting for somebody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.db.models import Sum
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import override

from mail_oauth import parking
from mail_oauth.conf import app_settings
from mail_oauth.keysource import source_name
from mail_oauth.managers.counts import slot_of
from mail_oauth.managers.queryset import ATTENTION
from mail_oauth.managers.vocabulary import CountedOutcome, Status
from mail_oauth.models import MailCredentials, ProviderHealth, RefreshCount
from mail_oauth.refresh.classification import Trouble
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown, wrong
from mail_oauth.upkeep.doctor.rounds import Probe, Round
from mail_oauth.upkeep.status import StatusReport, status_report

LATELY = timedelta(minutes=15)
"""Where nothing was refreshed for so long while mailboxes are overdue, nothing works on them."""

PARKED_LOOKED_AT = 10_000
"""For so many due mailboxes it is asked whether a token pair is parked: who could not be saved is due."""

_RUN_SWEEPS = "See that beat and a worker run (`celery -A … worker --beat`), or that cron runs `manage.py mail_oauth refresh`."
_OURS = {Trouble.CLIENT.value, Trouble.CONFIGURATION.value}


@dataclass
class Case:
    """The mailboxes of one site, counted once; of the providers `aliases` where only some are asked for."""

    aliases: tuple[str, ...]

    @cached_property
    def report(self) -> StatusReport:
        """How many there are in which state."""
        return status_report()

    @cached_property
    def using(self) -> str:
        """The database that holds the truth."""
        return MailCredentials.objects.write_alias()


def _overdue(case: Case) -> Iterator[Outcome]:
    report = case.report
    if not report.overdue:
        yield fine(f"None of {report.mailboxes} is overdue.")
        return
    since = slot_of(timezone.now() - LATELY)
    counts = RefreshCount.objects.using(case.using).filter(begins_at__gte=since)
    lately = counts.aggregate(number=Sum("number"))["number"] or 0
    told = f"{report.overdue} of {report.mailboxes} are overdue"
    if lately:
        yield doubtful(
            f"{told}; calls within {LATELY.seconds // 60} minutes: {lately}.",
            "See mailboxes.lanes; if none is held, raise BATCH_TASKS and REFRESH_THREADS (`manage.py mail_oauth forecast`).",
        )
    else:
        yield wrong(f"{told}, and no call was made for {LATELY.seconds // 60} minutes.", _RUN_SWEEPS)


def _leases(case: Case) -> Iterator[Outcome]:
    dead = MailCredentials.objects.using(case.using).dead_leases().count()
    if dead:
        yield doubtful(
            f"Leases that ended under workers that died: {dead}.",
            "The next sweep takes them over; if it stays so, see why workers die (memory, CELERY_TASK_TIME_LIMIT).",
        )
    else:
        yield fine("No worker died over one.")


def _lanes(case: Case) -> Iterator[Outcome]:
    held = ProviderHealth.objects.using(case.using).filter(held=True, provider__in=case.aliases)
    lanes = list(held.order_by("provider", "tenant", "trouble"))
    for health in lanes:
        lane = f"{health.provider} / {health.tenant}" if health.tenant else health.provider
        with override(None):
            trouble = capfirst(health.get_trouble_display())
        told = f"{trouble} ({health.reason}), since {health.held_since:%Y-%m-%d %H:%M} UTC."
        if health.trouble in _OURS:
            yield wrong(
                told,
                "Correct the options of that provider; `doctor --live` tries them. It recovers by itself.",
                lane,
            )
        else:
            yield doubtful(
                told, "It recovers by itself; the admin's provider health says when it is tried again.", lane
            )
    if not lanes:
        yield fine("No lane is held.")


def _attention(case: Case) -> Iterator[Outcome]:
    numbers = Counter[str]()
    for group in case.report.groups:
        numbers[group.status] += group.mailboxes
    with override(None):  # the doctor speaks English
        waiting = ", ".join(f"{numbers[status]} {status.label}" for status in ATTENTION if numbers[status])
    if numbers[Status.UNREADABLE]:
        yield wrong(
            f"{waiting}.",
            "Run `manage.py mail_oauth key_status --prove`, which says what does not open and why; "
            f"put a key that is missing back into {source_name()}: nothing is lost.",
        )
    elif numbers[Status.NEEDS_ATTENTION]:
        yield doubtful(f"{waiting}.", "See their last errors in the admin, filtered by status.")
    else:
        yield fine(f"{waiting or 'All of them work'}.")


def _providers(case: Case) -> Iterator[Outcome]:
    gone = Counter[str]()
    for group in case.report.groups:
        if group.status != Status.DISCONNECTED and group.provider not in app_settings().providers:
            gone[group.provider] += group.mailboxes
    for alias, number in sorted(gone.items()):
        yield doubtful(
            f'{number} are of a provider that MAIL_OAUTH["PROVIDERS"] does not have.',
            f'Put "{alias}" back, or disconnect them.',
            alias,
        )
    if not gone:
        yield fine("Each one's provider is in the settings.")


def _parked(case: Case) -> Iterator[Outcome]:
    due = MailCredentials.objects.using(case.using).due().order_by("refresh_at")
    pks = list(due.values_list("pk", flat=True)[:PARKED_LOOKED_AT])
    try:
        waiting = len(parking.waiting(pks)) if pks else 0
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises
        yield unknown(f"The cache cannot say ({type(error).__name__}).")
        return
    if waiting:
        yield doubtful(
            f"Token pairs that wait in the cache for the database to take them: {waiting}.",
            "Run `manage.py mail_oauth reconcile` once the database can be written, and neither flush nor restart the cache before.",
        )
    else:
        yield fine("No token pair waits in the cache.")


def _refreshes(case: Case) -> Iterator[Outcome]:
    """Sum up the last hour of each provider: a success proves its client, its endpoint and the whole way."""
    since = slot_of(timezone.now() - timedelta(hours=1))
    counts = RefreshCount.objects.using(case.using).filter(begins_at__gte=since, provider__in=case.aliases)
    numbers: dict[str, Counter[str]] = {}
    for provider, outcome, number in counts.values_list("provider", "outcome", "number"):
        numbers.setdefault(provider, Counter())[outcome] += number
    for provider, by_outcome in sorted(numbers.items()):
        granted = by_outcome[CountedOutcome.GRANTED]
        others = ", ".join(
            f"{number} {outcome}"
            for outcome, number in sorted(by_outcome.items())
            if outcome != CountedOutcome.GRANTED
        )
        if granted:
            yield fine(f"{granted} refreshed within the hour{f'; {others}' if others else ''}.", provider)
        else:
            yield doubtful(
                f"None refreshed within the hour; {others}.",
                "See the last errors of its mailboxes in the admin.",
                provider,
            )
    if not numbers:
        yield fine("No call was made within the hour.")


def mailbox_round(aliases: tuple[str, ...]) -> Round:
    """Return the round of the mailboxes; lanes and refreshes are those of the providers named."""
    return Round("mailboxes", PROBES, Case(aliases))


PROBES = (
    Probe(
        id="mailboxes.overdue", what="mailboxes that should have been refreshed five minutes ago", look=_overdue
    ),
    Probe(
        id="mailboxes.refreshes", what="what became of the calls of the last hour, by provider", look=_refreshes
    ),
    Probe(id="mailboxes.lanes", what="lanes that are held, and why", look=_lanes),
    Probe(id="mailboxes.leases", what="leases that ended under workers that died", look=_leases),
    Probe(id="mailboxes.attention", what="mailboxes that somebody must do something about", look=_attention),
    Probe(id="mailboxes.providers", what="mailboxes whose provider the settings no longer have", look=_providers),
    Probe(id="mailboxes.parked", what="token pairs that wait in the cache for the database", look=_parked),
)
