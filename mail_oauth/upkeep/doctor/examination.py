"""The examination: every round, and what they found together."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from django.conf import settings

from mail_oauth.conf import app_settings, problems
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import Provider, provider_for
from mail_oauth.upkeep.doctor import (
    caches,
    database,
    endpoints,
    mailboxes,
    mailhosts,
    people,
    redis,
    work,
    workers,
)
from mail_oauth.upkeep.doctor.findings import Finding, Level
from mail_oauth.upkeep.doctor.rounds import Aside, Probe
from mail_oauth.upkeep.doctor.system import SUMMARY, system_findings

BROKER_SECONDS = 20.0
"""How long broker and workers may take in all."""

LIVE_SECONDS = 30.0
"""How long the looks of `--live` may take in all; they run side by side."""

OFFLINE: tuple[Probe, ...] = (
    Probe(id=SUMMARY, what="every system check, Django's and those for deployment as well", look=lambda _: ()),
    *database.PROBES,
    *mailboxes.PROBES,
    *people.PROBES,
    *work.PROBES,
    *caches.PROBES,
    *redis.PROBES,
    workers.APP,
    *workers.PROBES,
)
LIVE: tuple[Probe, ...] = (*endpoints.PROBES, *mailhosts.PROBES)
PROBES = (*OFFLINE, *LIVE)
"""Every probe that there is, in the order of the report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What an examination found. `seconds` is how long it took, `live` whether providers were asked."""

    findings: tuple[Finding, ...]
    live: bool
    seconds: float

    @property
    def level(self) -> Level:
        """The worst of all."""
        return max((finding.level for finding in self.findings), key=lambda level: level.rank, default=Level.OK)

    @property
    def numbers(self) -> dict[Level, int]:
        """How many findings there are of each level."""
        counted = Counter(finding.level for finding in self.findings)
        return {level: counted[level] for level in Level}


def examine(*, live: bool = False, provider: str = "") -> Report:
    """Look at everything; at providers and mail hosts only with `live`, and only at one with `provider`.

    Raises `ConfigurationError` for a `provider` that is not configured. Nothing is changed anywhere: what is written
    to see whether it can be is taken back.
    """
    begun = time.monotonic()
    if problems(getattr(settings, "MAIL_OAUTH", {})):  # nothing else can be read then
        findings = system_findings([])
    else:
        findings = _findings(provider, live=live)
    return Report(findings=tuple(findings), live=live, seconds=round(time.monotonic() - begun, 3))


def _findings(alias: str, *, live: bool) -> list[Finding]:
    """Run what may hang in threads, and the rest meanwhile."""
    aliases, providers = _chosen(alias)
    of_celery = Aside([workers.workers_round()])
    of_providers = [each for provider in providers for each in endpoints.endpoint_rounds(provider)]
    calls = Aside([*of_providers, *mailhosts.mail_rounds(providers)] if live else [])
    return [*_here(aliases), *of_celery.findings(BROKER_SECONDS), *calls.findings(LIVE_SECONDS)]


def _here(aliases: tuple[str, ...]) -> list[Finding]:
    """Look at what this thread's database connection and the cache show."""
    of_database = database.database_round()
    found = of_database.walk()
    failed = {finding.id for finding in found if finding.level is Level.ERROR}
    rounds = [work.work_round(), caches.cache_round()]
    if not failed & {"database.reachable", "database.migrations"}:
        rounds[:0] = [mailboxes.mailbox_round(aliases), people.people_round()]
    asked = [] if "database.reachable" in failed else [str(of_database.about)]
    return [*system_findings(asked), *found, *(finding for each in rounds for finding in each.walk())]


def _chosen(alias: str) -> tuple[tuple[str, ...], list[Provider]]:
    """Return the aliases that are looked at, and those of their providers that can be made at all."""
    if alias:
        return (alias,), [provider_for(alias)]
    providers = []
    for name in app_settings().providers:
        try:
            providers.append(provider_for(name))
        except ConfigurationError:  # mail_oauth.E002 tells of it
            continue
    return tuple(app_settings().providers), providers
