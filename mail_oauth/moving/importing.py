"""The import: entries of a source become mailboxes, page by page, each page in one transaction.

It is repeated as often as one likes: what is here already, and no older, is passed over by one look. So a run that was
ended is simply begun again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction

from mail_oauth.cache import token_cache
from mail_oauth.choices import Sharing
from mail_oauth.conf import app_settings
from mail_oauth.connect.sharing import is_held_by_another, one_at_a_time
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.arrivals import apply_many, create_many
from mail_oauth.managers.transitions import Transitions, after_commit
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.aliases import Aliases
from mail_oauth.moving.columns import changes, new_row
from mail_oauth.moving.entries import Entry, Found, Source, Unreadable
from mail_oauth.moving.here import Here
from mail_oauth.moving.judging import (
    Candidate,
    age,
    identity_of,
    is_the_same_token,
    judge,
    problem_of,
    the_same,
    trouble_of,
)
from mail_oauth.moving.memory import Memory
from mail_oauth.moving.mistakes import ends_the_run, fault_of
from mail_oauth.moving.outcomes import Outcome, Result
from mail_oauth.moving.rehearsing import Rehearsal
from mail_oauth.moving.users import Users
from mail_oauth.providers import Provider
from mail_oauth.refresh.engine import persist
from mail_oauth.tokens import AccessToken


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What whoever imports has asked for.

    `user_field` is the users' column that the source's names are of. `address_of_user`: an entry without an address has that
    of its user. `any_scopes`: entries are imported whatever they say was granted. `dry_run`: nothing is written.
    """

    aliases: Aliases
    user_field: str = "pk"
    address_of_user: bool = False
    any_scopes: bool = False
    dry_run: bool = False


class Import:
    """One import from a source."""

    def __init__(self, source: Source, wishes: Wishes) -> None:
        """Prepare; nothing is read yet. Raises `SourceError`."""
        self.source, self.wishes = source, wishes
        self.transitions = Transitions(MailCredentials.objects)
        self.using = self.transitions.using
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._settled: set[int] = set()
        self.rehearsal = Rehearsal()
        self.users = Users("pk" if source.names_users_by_key else wishes.user_field, self.using)

    def scopes_wanted_of(self, provider: Provider) -> tuple[str, ...]:
        """Return what a provider is asked for; looked up once, not for each entry."""
        if provider.alias not in self._wanted:
            self._wanted[provider.alias] = provider.requested_scopes
        return self._wanted[provider.alias]

    def run(self) -> Iterator[list[Result]]:
        """Import, and give the results of each page once it is saved. Raises `SourceError`, and what a database raises."""
        one_by_one = app_settings().shared_mailboxes == Sharing.REFUSE
        for page in self.source.pages():
            if not one_by_one:
                yield self._saved(page)
                continue
            for found in page:
                yield self._saved([found])

    def _saved(self, page: Sequence[Found]) -> list[Result]:
        """Import a page; one that cannot be saved entry by entry, so that only what is to blame for that stays behind."""
        try:
            return persist(lambda: self._page(page))
        except Exception as error:
            if ends_the_run(error):
                raise
            if len(page) == 1:
                return [replace(_named(page[0]), **fault_of(error))]
        return [result for found in page for result in self._saved([found])]

    def _page(self, page: Sequence[Found]) -> list[Result]:
        if self.wishes.dry_run:
            work = _Page(self, page, lock=False)
            results = work.results()
        else:
            turn = self._turn(page)  # for which it reads, before the transaction's own view of things
            with transaction.atomic(using=self.using), turn:
                work = _Page(self, page, lock=True)
                results = work.results()
        self._settled |= work.settled
        for row in work.new.values() if self.wishes.dry_run else ():
            self.rehearsal.bring(row)
        return results

    def _turn(self, page: Sequence[Found]) -> AbstractContextManager[None]:
        """Wait for the turn to save a mailbox that one user alone may hold: before its user's row, as consents do.

        Such a page is one entry alone, and its transaction keeps the turn to its end.
        """
        if app_settings().shared_mailboxes == Sharing.ALLOW:
            return nullcontext()
        candidate = _Page(self, page, lock=False).candidate(page[0])
        if isinstance(candidate, Result):
            return nullcontext()
        return one_at_a_time(self.using, *candidate.claim)

    def is_settled(self, pk: UUID) -> bool:
        """Tell whether an entry of this run was that of a mailbox already. Eight bytes are kept of each, and Python's own."""
        return hash(pk) in self._settled


class _Page:
    """One page, within its transaction."""

    def __init__(self, task: Import, page: Sequence[Found], *, lock: bool) -> None:
        """Look up whom and what its entries name."""
        self.task, self.wishes, self.page = task, task.wishes, page
        entries = [self._with_user(found) for found in page if isinstance(found, Entry)]
        self.here = Here(entries, task.users, with_addresses=self.wishes.address_of_user, lock=lock)
        fresh = (pk for pk in self.here.never_used if not task.is_settled(pk))
        self.brought = self.here.brought_by(task.source.name, fresh)
        self.settled: set[int] = set()
        self.memory = Memory(task.using, self.here.named.values(), renew=lock)
        self.for_mail = task.source.tokens_are_for_mail
        self.new: dict[UUID, MailCredentials] = {}
        self.changed: dict[MailCredentials, dict[str, Any]] = {}
        self.entries: dict[UUID, Entry] = {}

    def results(self) -> list[Result]:
        """Judge each entry, and write what is to be written. The newest of several of one mailbox comes first."""
        order = sorted(range(len(self.page)), key=lambda number: age(self.page[number]))
        found = {number: self._result(self.page[number]) for number in order}
        results = [found[number] for number in range(len(self.page))]
        return results if self.wishes.dry_run else self._written(results)

    def _written(self, results: list[Result]) -> list[Result]:
        """Write what was judged to be newer; who was quicker than that keeps what they have."""
        transitions, reason = self.task.transitions, self.task.source.name
        create_many(transitions, list(self.new.values()), EventKind.IMPORTED, reason=reason)
        saved = apply_many(transitions, self.changed, EventKind.IMPORTED, reason=reason)
        # Older copies are replaced at once; that of a new mailbox is made by whoever asks for its token first.
        rows = [row for row in self.changed if row.pk in saved]
        tokens = {row.pk: token for row in rows if (token := self._token(row)) is not None}
        after_commit(self.task.using, lambda: token_cache.put_many(tokens))
        late = {row.pk for row in self.changed} - saved
        return [_beaten(result) if result.mailbox in late else result for result in results]

    def _token(self, row: MailCredentials) -> AccessToken | None:
        """Return the access token that came with a row, None where it has none; by `put_many` it is cached."""
        given = self.entries[row.pk].access_token
        if row.access_token is None or row.token_issued_at is None or row.token_expiry is None or given is None:
            return None
        issued_at, expires_at = row.token_issued_at, row.token_expiry
        return AccessToken(given.reveal(), issued_at=issued_at, expires_at=expires_at, generation=row.generation)

    def _with_user(self, entry: Entry) -> Entry:
        """Where a source names nobody and users are named by address, the mailbox's own address names its user."""
        by_address = not entry.user and self.task.users.are_named_by_address and entry.standing is None
        return replace(entry, user=entry.email) if by_address else entry

    def candidate(self, found: Found) -> Candidate | Result:
        """Find out of whom and of which provider an entry is, or what is the matter with it."""
        if isinstance(found, Unreadable):
            return Result(where=found.where, outcome=Outcome.UNREADABLE, reason=found.reason)
        entry = self._with_user(found)
        result = Result(where=entry.where, outcome=Outcome.HERE, user=entry.user, email=entry.email)
        try:
            provider = self.wishes.aliases.provider(entry.provider)
        except ConfigurationError as error:
            return replace(result, outcome=Outcome.MISCONFIGURED, reason=str(error))
        if provider is None:
            return replace(result, outcome=Outcome.UNKNOWN_PROVIDER, reason=entry.provider)
        result = replace(result, provider=provider.alias)
        user_id = self.here.named.get(entry.user)
        if user_id is None:
            return replace(result, outcome=Outcome.UNKNOWN_USER)
        if not entry.email and self.here.addresses.get(user_id):
            entry = replace(entry, email=self.here.addresses[user_id])
        if not entry.email:
            return replace(result, outcome=Outcome.NO_ADDRESS)
        identity = identity_of(entry, provider)
        wanted = self.task.scopes_wanted_of(provider)
        return Candidate(entry=entry, provider=provider, wanted=wanted, user_id=user_id, identity=identity)

    def _result(self, found: Found) -> Result:
        candidate = self.candidate(found)
        if isinstance(candidate, Result):
            return candidate
        entry, alias = candidate.entry, candidate.provider.alias
        about = Result(where=entry.where, outcome=Outcome.HERE, provider=alias, user=entry.user, email=entry.email)
        return self._judged(candidate, about)

    def _judged(self, candidate: Candidate, result: Result) -> Result:
        rows = self.here.rows[candidate.user_id, candidate.provider.alias]
        row = the_same(candidate, rows)
        if row is None and self.wishes.dry_run:
            row = self.task.rehearsal.outcome_of(candidate)
        if row is None and self.memory.has(candidate):
            return replace(result, outcome=Outcome.ERASED)
        if isinstance(row, Outcome):
            return replace(result, outcome=row)
        outcome, reason = (Outcome.IMPORTED, "") if row is None else self._verdict(candidate.entry, row)
        problem = problem_of(candidate, any_scopes=self.wishes.any_scopes)
        if outcome in {Outcome.IMPORTED, Outcome.UPDATED} and problem is not None:
            # A mailbox that works here has no need of an entry that could not become one.
            well = row is not None and row.is_connected
            return replace(result, outcome=Outcome.HERE if well else problem[0], reason="" if well else problem[1])
        if row is None:
            return self._imported(candidate, result)
        if outcome is Outcome.UPDATED:
            return self._updated(candidate, row, result)
        unproven = row.is_connected and row.last_refreshed_at is None
        ails = "" if outcome is Outcome.DISCONNECTED else trouble_of(row)
        mailbox = None if row.pk in self.new and self.wishes.dry_run else row.pk
        return replace(result, outcome=outcome, reason=reason, mailbox=mailbox, unproven=unproven, ails=ails)

    def _verdict(self, entry: Entry, row: MailCredentials) -> tuple[Outcome, str]:
        """Judge an entry by the row. The very token that a row has settles it for this run: other entries are not its own."""
        settled = hash(row.pk) in self.settled
        outcome, reason = judge(entry, row, None if settled else self.brought.get(row.pk))
        lives_by_itself = outcome is Outcome.HERE and row.last_refreshed_at is not None
        if outcome is Outcome.DISCONNECTED or lives_by_itself or not is_the_same_token(entry, row):
            return outcome, reason
        self.settled.add(hash(row.pk))
        return Outcome.HERE, reason

    def _imported(self, candidate: Candidate, result: Result) -> Result:
        alias = candidate.provider.alias
        if self._is_held_by_another(candidate):
            return replace(result, outcome=Outcome.HELD_BY_ANOTHER)
        row = new_row(candidate, for_mail=self.for_mail)
        if row.refresh_at is not None:
            row.refresh_at += self.here.skew  # the schedule is kept by the database's clock
        self.new[row.pk], self.entries[row.pk] = row, candidate.entry
        self.settled.add(hash(row.pk))
        self.here.rows[candidate.user_id, alias].append(row)
        return self._brought(result, Outcome.IMPORTED, row)

    def _updated(self, candidate: Candidate, row: MailCredentials, result: Result) -> Result:
        if row.pk in self.entries:  # a newer entry of this page came first
            return replace(result, outcome=Outcome.HERE)
        self.changed[row], self.entries[row.pk] = changes(row, candidate, for_mail=self.for_mail), candidate.entry
        self.settled.add(hash(row.pk))
        return self._brought(result, Outcome.UPDATED, row)

    def _brought(self, result: Result, outcome: Outcome, row: MailCredentials) -> Result:
        mailbox = None if self.wishes.dry_run and outcome is Outcome.IMPORTED else row.pk
        unproven = row.use_oauth and not self.wishes.dry_run
        status = self.changed.get(row, {}).get("status", row.status)
        reason = ("" if status == Status.CONNECTED else status) if row.use_oauth else "OAuth switched off"
        return replace(result, outcome=outcome, reason=reason, mailbox=mailbox, unproven=unproven)

    def _is_held_by_another(self, candidate: Candidate) -> bool:
        if app_settings().shared_mailboxes == Sharing.ALLOW:
            return False
        newcomer, account = candidate.claim
        rehearsed = self.wishes.dry_run and self.task.rehearsal.is_held_by_another(newcomer, account)
        return rehearsed or is_held_by_another(self.task.using, newcomer, account)


def _named(found: Found) -> Result:
    """Say of which entry a result is, of which no more is known."""
    about = Result(where=found.where, outcome=Outcome.UNREADABLE)
    return replace(about, user=found.user, email=found.email) if isinstance(found, Entry) else about


def _beaten(result: Result) -> Result:
    if result.outcome is not Outcome.UPDATED:
        return result
    return replace(result, outcome=Outcome.HERE, reason="changed at this moment", unproven=False)
