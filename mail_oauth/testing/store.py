"""The fake provider's memory: accounts, clients, codes, grants and the families of refresh tokens.

One re-entrant lock guards every transition. The service holds it round a whole token request, so that
"look up, judge, rotate, save" is one step however many requests arrive at once.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any, Final

from mail_oauth.testing.records import (
    AccessToken,
    Account,
    AuthorizationCode,
    Client,
    Family,
    RefreshToken,
    digest,
)
from mail_oauth.testing.refusals import Reason

_KNOWLEDGE: Final = (
    "accounts clients sites codes families refresh_tokens access_tokens consents apps service_accounts assertions _subjects"
).split()
"""The store's collections of frozen records."""


class Store:
    """Everything that the provider knows.

    ``persist`` is called, under the lock, at the end of each outermost transition that changed something.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.clients: dict[str, Client] = {}
        self.sites: set[str] = set()
        self.codes: dict[str, AuthorizationCode] = {}
        self.families: dict[str, Family] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.consents: set[tuple[str, str, str]] = set()
        self.apps: dict[str, Any] = {}
        self.service_accounts: dict[str, Any] = {}
        self.assertions: set[str] = set()
        self.persist: Callable[[], None] = _nothing
        self._depth = 0
        self._changed = False
        self._prune_at = 1000
        self._subjects: dict[str, str] = {}
        self._families_of: dict[str, list[str]] = {}

    @contextmanager
    def transition(self) -> Iterator[None]:
        """Hold the lock; transitions within transitions are one."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._changed:
                    self._changed = False
                    self.persist()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """At the end of a ``with`` block, know what was known at its beginning, and nothing else."""
        with self.lock:
            before = {name: copy(getattr(self, name)) for name in _KNOWLEDGE}
            grants = {subject: [*families] for subject, families in self._families_of.items()}
        try:
            yield
        finally:
            with self.transition():
                vars(self).update(before, _families_of=grants)
                self._changed = True

    def put_account(self, account: Account) -> None:
        """Add ``account``; one of the same subject is replaced, one of the same address loses it."""
        with self.transition():
            if previous := self.accounts.get(account.subject):
                self._subjects.pop(previous.email.lower(), None)
            self.accounts[account.subject] = account
            self._subjects[account.email.lower()] = account.subject
            self._changed = True

    def account_at(self, email: str) -> Account | None:
        """The account that now has this address."""
        with self.lock:
            return self.accounts.get(self._subjects.get(email.lower(), ""))

    def put_client(self, client: Client) -> None:
        """Register ``client``, or replace the one with its id."""
        with self.transition():
            self.clients[client.client_id] = client

    def put_code(self, code: str, record: AuthorizationCode) -> None:
        """Remember an authorization code and the consent that it stands for."""
        with self.transition():
            self.codes[digest(code)] = record
            self.consents.add((record.personality, record.client_id, record.subject))
            self._changed = True

    def code(self, code: str) -> AuthorizationCode | None:
        """The record of an authorization code."""
        with self.lock:
            return self.codes.get(digest(code))

    def open_family(self, code: str) -> Family:
        """Redeem ``code``: the new family that its tokens will belong to."""
        with self.transition():
            record = self.codes[digest(code)]
            family = Family(
                id=uuid.uuid4().hex,
                personality=record.personality,
                client_id=record.client_id,
                subject=record.subject,
                scopes=record.scopes,
            )
            self.put_family(family)
            self.codes[digest(code)] = replace(record, family=family.id)
            return family

    def put_family(self, family: Family) -> None:
        """Add a family, or replace the one with its id."""
        with self.transition():
            if family.id not in self.families:
                self._families_of.setdefault(family.subject, []).append(family.id)
            self.families[family.id] = family

    def mark_used(self, family: str, now: float) -> None:
        """Note that a grant gave a token."""
        with self.transition():
            self.families[family] = replace(self.families[family], used_at=now)
            self._changed = True

    def put_refresh_token(self, token: str, family: str) -> None:
        """Make ``token`` the newest of its family."""
        with self.transition():
            self.refresh_tokens[digest(token)] = RefreshToken(family=family)
            self.families[family] = replace(self.families[family], newest=token)
            self._changed = True

    def refresh_token(self, token: str) -> tuple[RefreshToken, Family] | None:
        """A refresh token's record and its family."""
        with self.lock:
            record = self.refresh_tokens.get(digest(token))
            return (record, self.families[record.family]) if record else None

    def spend(self, token: str, now: float) -> None:
        """Note that rotation replaced ``token``; the first time counts."""
        with self.transition():
            key = digest(token)
            if self.refresh_tokens[key].spent_at is None:
                self.refresh_tokens[key] = replace(self.refresh_tokens[key], spent_at=now)
                self._changed = True

    def put_access_token(self, token: str, record: AccessToken, now: float) -> None:
        """Remember an access token; now and then, forget those that had expired by ``now``."""
        with self.transition():
            if len(self.access_tokens) >= self._prune_at:
                self.drop_access_tokens(lambda old, _family: old.expires_at <= now)
                self._prune_at = max(1000, 2 * len(self.access_tokens))
            self.access_tokens[digest(token)] = record
            self._changed = True

    def access_token(self, token: str) -> tuple[AccessToken, Family] | None:
        """An access token's record and its family."""
        with self.lock:
            record = self.access_tokens.get(digest(token))
            return (record, self.families[record.family]) if record else None

    def living_access_token(self, token: str, now: float) -> tuple[AccessToken, Family] | None:
        """The same, for a token that a resource server would take at ``now``, in seconds since the epoch."""
        found = self.access_token(token)
        if found is None or found[1].ended or found[0].expires_at <= now:
            return None
        return found

    def drop_access_tokens(self, unwanted: Callable[[AccessToken, Family], bool]) -> None:
        """Forget the access tokens for which ``unwanted`` is true."""
        with self.transition():
            self.access_tokens = {
                key: record
                for key, record in self.access_tokens.items()
                if not unwanted(record, self.families[record.family])
            }
            self._changed = True

    def families_of(self, subject: str, personality: str | None = None) -> list[Family]:
        """The families of ``subject``, oldest first."""
        with self.lock:
            found = (self.families[each] for each in self._families_of.get(subject, ()))
            return [family for family in found if personality in {None, family.personality}]

    def end(self, families: Iterable[Family], reason: Reason) -> None:
        """Kill every token of ``families``; a family that is dead keeps its first reason."""
        with self.transition():
            for family in families:
                self.families[family.id] = replace(family, ended=family.ended or reason.value, newest=None)
                self.consents.discard((family.personality, family.client_id, family.subject))
            self._changed = True


def _nothing() -> None:
    """What happens after a change when no state file is kept."""
