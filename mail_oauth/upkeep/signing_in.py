"""Whether a mailbox can be signed in to, stage by stage and protocol by protocol: for the command, the admin and its user."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _

from mail_oauth.exceptions import ConfigurationError, MailboxError
from mail_oauth.mailbox.stages import Stage
from mail_oauth.mailbox.trials import Outcome, Step, skipped, stage_failed, stages_of, try_out, words_of
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.tokens import MailServer

PROTOCOLS = ("IMAP", "POP", "SMTP")


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIns:
    """What came of each stage at one mailbox."""

    pk: UUID
    email: str
    provider: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.outcome is Outcome.FAILED]

    def came_to(self, outcome: Outcome) -> list[str]:
        """Return the protocols of which this is the outcome: failed with one step, skipped before the first one."""
        by_protocol = {name: [step.outcome for step in self.steps if step.protocol == name] for name in PROTOCOLS}
        return [name for name, outcomes in by_protocol.items() if outcomes and _worst(outcomes) is outcome]


def _worst(outcomes: Collection[Outcome]) -> Outcome:
    return next(each for each in (Outcome.FAILED, Outcome.SKIPPED, Outcome.OK) if each in outcomes)


def sign_in_everywhere(
    row: MailCredentials,
    *,
    protocols: Collection[str] = PROTOCOLS,
    send: bool = False,
    seconds: float = math.inf,
) -> SignIns:
    """Get a token, and with it go as far as it goes by each protocol; with `send`, the mailbox sends itself a message.

    A protocol for which the provider names no server, or the grant has no scope, is skipped. Whatever fails is in the
    steps. A token that a server refuses is replaced once, as always. After so many seconds no protocol is begun.
    """
    give_up_at = time.monotonic() + seconds
    first = _token(row)
    steps = [first]
    for protocol in PROTOCOLS:
        if protocol not in protocols:
            continue
        stages = stages_of(protocol, send=send)
        if first.outcome is Outcome.FAILED:
            steps += skipped(protocol, stages, stage_failed(first.stage))
        elif why := why_not(row, protocol):
            steps += skipped(protocol, stages[:1], why)
        elif time.monotonic() > give_up_at:
            steps += skipped(protocol, stages[:1], _("there was no time left"))
        else:
            steps += try_out(protocol, row, send=send)
    return SignIns(pk=row.pk, email=row.email, provider=row.provider, steps=tuple(steps))


def why_not(row: MailCredentials, protocol: str) -> str:
    """Say why a mailbox cannot be reached by a protocol at all; empty where it can. Raises `ConfigurationError`."""
    provider = provider_for(row.provider)
    if not isinstance(provider.setting(protocol), MailServer):
        return _("%(provider)s names no %(protocol)s server") % {"provider": provider.name, "protocol": protocol}
    lacking = provider.lacking_scope(protocol, row.scopes)
    return _("the grant has no scope for it (%(scope)s)") % {"scope": lacking} if lacking else ""


def can_send(row: MailCredentials) -> bool:
    """Whether it is of any use to send from a mailbox."""
    return row.is_connected and row.provider_configured and not why_not(row, "SMTP")


def _token(row: MailCredentials) -> Step:
    begun = time.monotonic()
    error: MailboxError | ConfigurationError | None = None
    what = ""
    try:
        provider_for(row.provider)
        minutes = row.get_access_token().minutes_left()
        what = _("valid for %(number)d min") % {"number": minutes}
    except (MailboxError, ConfigurationError) as failure:
        error, what = failure, words_of(failure)
    return Step(
        stage=Stage.TOKEN,
        outcome=Outcome.FAILED if error else Outcome.OK,
        what=what,
        milliseconds=(time.monotonic() - begun) * 1000,
        error=error,
    )
