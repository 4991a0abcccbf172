"""What a dry run remembers, for it writes nothing in which it could find it."""

from __future__ import annotations

import hashlib
from typing import Any

from mail_oauth.choices import Sharing
from mail_oauth.conf import app_settings
from mail_oauth.connect.sharing import Claimant
from mail_oauth.models import MailCredentials
from mail_oauth.moving.judging import Candidate
from mail_oauth.moving.outcomes import Outcome
from mail_oauth.tokens import Identity

_SEVERAL = -1
_NOBODYS = 0


class Rehearsal:
    """The mailboxes that a dry run would have brought: who comes later finds them, as in the database.

    A later copy of one is `HERE`, also where the run itself would find it newer. Of each name eight bytes are kept, and
    Python's own: tens of megabytes for a hundred thousand mailboxes.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._account_by_address: dict[int, int] = {}
        self._account_by_sign_in: dict[int, int] = {}
        self._accounts: set[int] = set()
        self._holders: dict[int, int] = {}

    def bring(self, row: MailCredentials) -> None:
        """Remember one that would be there now."""
        user, alias = row.user_id, row.provider
        account = _digest(row.issuer, row.subject) if row.subject else _NOBODYS
        self._account_by_address[_digest(user, alias, row.email.lower())] = account
        if account and not row.address_typed:
            self._accounts.add(_digest(user, alias, account))
        if row.sign_in_address and not row.address_typed:
            self._account_by_sign_in[_digest(user, alias, row.sign_in_address.lower())] = account
        if app_settings().shared_mailboxes == Sharing.REFUSE:
            for name in {_digest(alias, row.email.lower()), account} - {_NOBODYS}:
                holder = self._holders.setdefault(name, _digest(user))
                if holder != _digest(user):
                    self._holders[name] = _SEVERAL

    def outcome_of(self, candidate: Candidate) -> Outcome | None:
        """Say what would become of another entry of one of them; None where it is of none."""
        user, alias, identity = candidate.user_id, candidate.provider.alias, candidate.identity
        account = _digest(identity.issuer, identity.subject) if identity.subject else _NOBODYS
        found = self._account_by_address.get(_digest(user, alias, candidate.email))
        if found is not None:
            return Outcome.ANOTHER_ACCOUNT if account and found not in {_NOBODYS, account} else Outcome.HERE
        if candidate.entry.address_typed:
            return None
        moved = account and _digest(user, alias, account) in self._accounts
        other = self._account_by_sign_in.get(_digest(user, alias, candidate.email))
        known = other is not None and (not account or other in {_NOBODYS, account})
        return Outcome.HERE if moved or known else None

    def is_held_by_another(self, claimant: Claimant, account: Identity) -> bool:
        """Tell whether one would be another user's, as `mail_oauth.connect.sharing.is_held_by_another` does."""
        names = [_digest(account.issuer, account.subject)] if account.subject else []
        if not account.subject or account.address_typed:
            names.append(_digest(claimant.provider, account.email.lower()))
        mine = _digest(claimant.user_id)
        return any(self._holders.get(name, mine) != mine for name in names)


def _digest(*names: Any) -> int:
    """Return 64 bits of names, which are never zero."""
    whole = "\0".join(map(str, names)).encode()
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest()) or 1
