"""Token pairs that the database would not take: kept in the shared cache until the next claim adopts them.

A provider that rotates refresh tokens has ended the stored one when its reply arrives. If the new pair cannot be
saved then, this is the only copy of the grant: it is sealed, and written beside the access tokens under
``{prefix}:parked:{pk}`` with the header of `mail_oauth.cache`. It is the one refresh token that a cache ever holds.

Two caches cannot park: one that is private to a process (the system check W003 says so), and Django's database
cache in the very database that is away. What was written is read back before it counts as parked, for several
caches (that one among them) drop a value without a word.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from mail_oauth import bulk
from mail_oauth.cache import (
    PK,
    Header,
    cache_key,
    place_of,
    read_raw,
    remove,
    replace,
    tolerantly,
    write_unless_newer,
)
from mail_oauth.conf import app_settings
from mail_oauth.encryption import keyring, seal, unseal_stored
from mail_oauth.exceptions import Unbound
from mail_oauth.frames import keeps_locals_in
from mail_oauth.sealing import label_of
from mail_oauth.tokens import Secret, TokenSet, scope_set

RESOURCE = "parked"

SECONDS = 7 * 24 * 3600
"""How long a pair waits for its database: longer than any outage that nobody looks at."""

_START_BYTES = 96
"""So much of a value has its header, and what it shows of its key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedPair:
    """A pair that was granted for a row of `generation`, and for its refresh token, at `received_at`.

    `spent` is the digest of that refresh token. The access token is empty where only a refresh token came.
    """

    generation: int
    received_at: datetime
    spent: str
    tokens: TokenSet

    @classmethod
    def of(cls, generation: int, spent: Secret, tokens: TokenSet, received_at: datetime) -> ParkedPair:
        """Describe what the provider gave for the refresh token `spent`."""
        whole = received_at.replace(microsecond=0)
        return cls(generation=generation, received_at=whole, spent=_digest(spent), tokens=tokens)

    def continues(self, generation: int, refresh_token: Secret) -> bool:
        """Tell whether a row, as it is now, is still the grant that this pair continues.

        Who reconnected, replaced or disconnected the mailbox meanwhile has given the row another refresh token
        or none; adopting would bring back a grant that its user has left. A failure that was saved, or OAuth
        switched off and on, moves the generation alone; then a rotated refresh token must not be dropped, but
        one that is the same brings nothing that is newer than the row.
        """
        if self.spent != _digest(refresh_token):
            return False
        return self.generation == generation or self.brings_other_than(refresh_token)

    def brings_other_than(self, refresh_token: Secret) -> bool:
        """Tell whether there is a refresh token in it that differs from the row's."""
        return self.tokens.refresh_token is not None and self.tokens.refresh_token != refresh_token

    def seconds_left(self, now: datetime) -> float:
        """How many seconds of the access token's life remain at `now`."""
        return self.tokens.expires_in - (now - self.received_at).total_seconds()


def park(pk: UUID, pair: ParkedPair) -> bool:
    """Put a pair away; False when it is not kept, because the cache failed or holds a newer one."""
    return tolerantly(lambda: _park(pk, pair), False)


def parked(pk: UUID) -> ParkedPair | None:
    """Return the pair that waits for a row; None when there is none, or the cache cannot say.

    Raises `SealError` for a value that this app did not write there, or that no key opens.
    """
    raw = tolerantly(lambda: read_raw(cache_key(pk, RESOURCE)), None)
    return None if raw is None else _opened(pk, raw)


def waiting(pks: Sequence[PK]) -> list[PK]:
    """Return those of the rows for which something is parked; raises what the cache raises.

    On Redis it takes one command where there is nothing, as nearly always.
    """
    found = bulk.exist(app_settings().cache, cache_key("", RESOURCE), pks)
    return [pk for pk, is_there in zip(pks, found, strict=True) if is_there]


def waiting_as_far_as_known(pks: Sequence[UUID]) -> set[UUID]:
    """Return the same; none where the cache cannot say."""
    return tolerantly(lambda: set(waiting(pks)), set())


def discard(pk: UUID, pair: ParkedPair | None = None) -> None:
    """Remove what is parked for a row; with `pair`, unless another one stands there by now."""
    key = cache_key(pk, RESOURCE)
    if pair is not None:
        header = Header.parse(tolerantly(lambda: read_raw(key), None))
        if header != _header(pair):
            return
    tolerantly(lambda: remove(key), None)


@keeps_locals_in
def reseal(pk: UUID, *, dry_run: bool = False) -> bool:
    """Seal what is parked for a row under the first key; tell whether it was under another, and still the same.

    Raises what the cache raises, and `SealError` for what cannot be opened, which stays.
    """
    key = cache_key(pk, RESOURCE)
    raw = read_raw(key)
    if raw is None:
        return False
    header, body = _parts(raw)
    if label_of(body) == keyring().keys[0].fingerprint:
        return False
    place = place_of(pk, RESOURCE, header)
    sealed = seal(unseal_stored(body, place), place).text.encode("ascii")
    return dry_run or replace(key, raw, header.bytes() + sealed, _rest(header))


def fingerprints(pks: Sequence[PK]) -> dict[PK, str]:
    """Return under which keys pairs are parked for rows, by what they show in clear; raises what the cache raises."""
    starts = bulk.starts(app_settings().cache, cache_key("", RESOURCE), pks, _START_BYTES)
    return {pk: _label(start) for pk, start in zip(pks, starts, strict=True) if start}


def _rest(header: Header) -> int:
    """Return how many seconds a pair is still kept, at least an hour: it is there, so its time is not over."""
    return max(header.issued + SECONDS - int(time.time()), 3600)


def _label(start: bytes) -> str:
    header = Header.parse(start)
    return "" if header is None else label_of(start[len(header.bytes()) :])


@keeps_locals_in
def _park(pk: UUID, pair: ParkedPair) -> bool:
    key, header, tokens = cache_key(pk, RESOURCE), _header(pair), pair.tokens
    fields = {
        "access": tokens.access_token.reveal(),
        "refresh": tokens.refresh_token.reveal() if tokens.refresh_token else None,
        "grant_ends_in": tokens.refresh_token_expires_in,
        "scopes": None if tokens.scopes is None else " ".join(tokens.scopes),
        "spent": pair.spent,
    }
    sealed = seal(Secret(json.dumps(fields)), place_of(pk, RESOURCE, header))
    body = sealed.text.encode("ascii")  # not packed: an earlier release drops what it cannot read
    # By its header: who rotates keys may just have sealed it anew.
    return write_unless_newer(key, header, body, SECONDS) and Header.parse(read_raw(key)) == header


def _parts(raw: Any) -> tuple[Header, bytes]:
    header = Header.parse(raw)
    if header is None:
        raise Unbound("What is parked was not written by this app.")
    return header, raw[len(header.bytes()) :]


@keeps_locals_in
def _opened(pk: UUID, raw: Any) -> ParkedPair:
    header, body = _parts(raw)
    fields = json.loads(unseal_stored(body, place_of(pk, RESOURCE, header)).reveal())
    refresh_token, scopes = fields["refresh"], fields["scopes"]
    return ParkedPair(
        generation=header.generation,
        received_at=datetime.fromtimestamp(header.issued, UTC),
        spent=fields["spent"],
        tokens=TokenSet(
            access_token=Secret(fields["access"]),
            expires_in=header.expiry - header.issued,
            refresh_token=None if refresh_token is None else Secret(refresh_token),
            refresh_token_expires_in=fields["grant_ends_in"],
            scopes=None if scopes is None else scope_set(scopes),
        ),
    )


def _header(pair: ParkedPair) -> Header:
    issued = int(pair.received_at.timestamp())
    return Header(pair.generation, issued, issued + pair.tokens.expires_in)


def _digest(secret: Secret) -> str:
    """Name a refresh token; it stands inside the seal only."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()
