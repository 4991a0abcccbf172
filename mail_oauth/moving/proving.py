"""Whether imported grants work: one refresh of each, by the engine, over a few threads."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from uuid import UUID

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.background import own_connection_possible
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.moving.outcomes import Proof, Result
from mail_oauth.upkeep.crew import Crew

logger = logging.getLogger(__name__)


BRAKE = "brake"
"""The code of what is not tried because so many grants were refused within minutes."""


class Proving:
    """Refreshes what was imported. Ends for a provider once its calls are held, or the brake is pulled there.

    So a wrong client costs a few calls and demotes a few mailboxes, not all of them.
    """

    def __init__(self, threads: int | None = None) -> None:
        """Refresh up to `threads` mailboxes at once, `REFRESH_THREADS` unless told."""
        self._transitions = Transitions(MailCredentials.objects)
        self._rows = MailCredentials.objects.using(self._transitions.using)
        wanted = app_settings().refresh_threads if threads is None else threads
        self._threads = max(wanted, 1) if own_connection_possible(self._transitions.using) else 0
        self._ended: dict[str, str] = {}

    def prove(self, results: Iterable[Result]) -> list[Result]:
        """Return the results, in any order, with what a refresh says of each grant that was none before.

        A mailbox that stands among them twice is refreshed once. Of one that is here and does not work, that is said
        again: it is mended by no look at its source.
        """
        found = [
            replace(each, proof=Proof.FAILED, proof_reason=each.ails) if each.ails else each for each in results
        ]
        told = [result for result in found if not (result.unproven and result.mailbox)]
        copies: defaultdict[UUID | None, list[Result]] = defaultdict(list)
        for result in found:
            if result.unproven and result.mailbox:
                copies[result.mailbox].append(result)
        for one in self._proven([results[0] for results in copies.values()]):
            told += [replace(each, proof=one.proof, proof_reason=one.proof_reason) for each in copies[one.mailbox]]
        return told

    def _proven(self, results: list[Result]) -> Iterator[Result]:
        crew = Crew(self._prove, self._threads)
        try:
            crew.give(results)
            while crew.outstanding:
                yield crew.wait()
        finally:
            crew.dismiss()

    def _prove(self, result: Result) -> Result:
        """Refresh one; whatever happens stops no other."""
        ended = self._ended.get(result.provider)
        if ended is not None:
            return replace(result, proof=Proof.UNTRIED, proof_reason=ended)
        try:
            return self._refreshed(result)
        except Exception as error:
            about = {"action": "import", "mailbox": str(result.mailbox), "outcome": "untried"}
            logger.exception("mailbox %s could not be tried", result.mailbox, extra=about)
            return replace(result, proof=Proof.FAILED, proof_reason=type(error).__name__)

    def _refreshed(self, result: Result) -> Result:
        row = self._rows.without_tokens().filter(pk=result.mailbox).first()
        if row is None:
            return replace(result, proof=Proof.FAILED, proof_reason="deleted")
        lanes = self._transitions.lanes
        hold = lanes.holding(row)
        if hold is not None or lanes.braking(row):
            reason = BRAKE if hold is None else hold.reason
            if hold is None or not hold.tenant:
                self._ended[result.provider] = reason
            return replace(result, proof=Proof.UNTRIED, proof_reason=reason)
        try:
            row.refresh_now()
        except MailboxError as error:
            return replace(result, proof=Proof.FAILED, proof_reason=error.reason or type(error).__name__)
        reason = self._rows.values_list("status_reason", flat=True).get(pk=row.pk)
        proof = Proof.FAILED if reason else Proof.PROVEN  # `scope_missing`: it is kept, and opens no mail
        return replace(result, proof=proof, proof_reason=reason)
