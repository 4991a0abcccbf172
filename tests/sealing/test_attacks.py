"""Whoever can write to the database or the cache, but has no key: what that buys them is nothing, and it is told.

A value is moved, flipped, truncated, relabelled, or replaced by a plain one, in a row, in a consent under way, in a
cached copy, in a parked pair. The one thing that is not seen is a row's own older value in its own column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mail_oauth import parking
from mail_oauth.cache import Header, cache_key, place_of, read_raw, token_cache
from mail_oauth.connect.attempts import open_secret
from mail_oauth.encryption import keyring, new_key, seal
from mail_oauth.exceptions import Altered, CredentialsUnreadable, Moved, SealError, Unbound
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.parking import ParkedPair
from mail_oauth.signals import value_refused
from mail_oauth.tokens import Secret, TokenSet
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.sealing.blobs import REGIONS, flipped, overwrite, plain_fernet, raw, relabelled, unlabelled

pytestmark = pytest.mark.django_db

OLD = "an older key of this site"


@pytest.fixture(autouse=True)
def two_keys(settings: Any) -> None:
    """The site has a second key, under which nothing is sealed; and no attacker has any."""
    settings.FERNET_KEYS = [*settings.FERNET_KEYS, OLD]


@pytest.fixture
def attempt(user: Any) -> ConnectAttempt:
    """A consent under way."""
    made = ConnectAttempt(
        user=user, provider="microsoft", state_digest="s", binding_digest="b", redirect_uri="https://x.example/"
    )
    made.expires_at = timezone.now() + timedelta(minutes=10)
    made.code_verifier = seal(Secret("verifier"), made.place("code_verifier"))
    made.nonce = seal(Secret("nonce"), made.place("nonce"))
    made.save()
    return made


@pytest.fixture
def refused() -> Iterator[list[tuple[Any, str, str]]]:
    """What `value_refused` told: of which mailbox, where, and why."""
    heard: list[tuple[Any, str, str]] = []

    def hear(mailbox: Any, where: str, cause: str, **_: Any) -> None:
        heard.append((mailbox, where, cause))

    value_refused.connect(hear)
    yield heard
    value_refused.disconnect(hear)


def stored(mailbox: MailCredentials) -> MailCredentials:
    return MailCredentials.objects.get(pk=mailbox.pk)


def history(mailbox: MailCredentials, kind: EventKind) -> list[str]:
    return list(mailbox.events.filter(kind=kind).order_by("pk").values_list("reason", flat=True))


Forge = Callable[[bytes, MailCredentials, ConnectAttempt, str], bytes]
"""From a column's value, another mailbox, a consent and the column's name to what is written there."""

FORGERIES: dict[str, tuple[Forge, str]] = {
    "of another row": (lambda blob, other, attempt, column: raw(other, column), Moved.code),
    "of the other column": (
        lambda blob, other, attempt, column: raw(
            MailCredentials.objects.exclude(pk=other.pk).get(),
            {"refresh_token": "access_token", "access_token": "refresh_token"}[column],
        ),
        Moved.code,
    ),
    "of another table": (lambda blob, other, attempt, column: raw(attempt, "nonce"), Moved.code),
    "of another key, by its label": (
        lambda blob, other, attempt, column: relabelled(blob, keyring().keys[1].fingerprint),
        Altered.code,
    ),
    "of a key that does not exist": (
        lambda blob, other, attempt, column: relabelled(blob, "0123456789abcdef"),
        "key_missing",
    ),
    "of no label": (lambda blob, other, attempt, column: unlabelled(blob), Unbound.code),
    "plain, as the plain field writes it": (
        lambda blob, other, attempt, column: plain_fernet("a token of the attacker's"),
        Unbound.code,
    ),
    "in clear": (lambda blob, other, attempt, column: b"ya29.in-clear", Unbound.code),
    "empty": (lambda blob, other, attempt, column: b"", Unbound.code),
    "truncated within its label": (lambda blob, other, attempt, column: blob[:12], Altered.code),
    "truncated after its label": (lambda blob, other, attempt, column: blob[:21], Altered.code),
    "truncated within its ciphertext": (lambda blob, other, attempt, column: blob[:-40], Altered.code),
    "truncated by one letter": (lambda blob, other, attempt, column: blob[:-1], Altered.code),
    "followed by more": (lambda blob, other, attempt, column: blob + b"AAAA", Altered.code),
    "not even text": (lambda blob, other, attempt, column: b"\xff\x00\xfe" + blob, Unbound.code),
    **{
        f"flipped in {region}": (
            lambda blob, other, attempt, column, at=at: flipped(blob, at),
            Unbound.code if 0 <= at < 4 else Altered.code,
        )
        for region, at in REGIONS.items()
    },
}


@pytest.mark.parametrize(("forge", "cause"), FORGERIES.values(), ids=FORGERIES)
class TestInARow:
    def test_a_refresh_token_is_refused_and_kept_as_it_is(
        self, connect, attempt, provider, forge: Forge, cause: str
    ):
        victim, other = connect(seconds_left=-10), connect()
        forged = forge(raw(victim, "refresh_token"), other, attempt, "refresh_token")
        overwrite(victim, "refresh_token", forged)
        for _ in range(2):
            with pytest.raises(CredentialsUnreadable) as raised:
                stored(victim).get_access_token()
            assert raised.value.reason == cause
        row = stored(victim)
        assert (row.status, row.status_reason) == (Status.UNREADABLE, cause)
        assert history(victim, EventKind.UNREADABLE) == [cause], "told once"
        assert raw(victim, "refresh_token") == forged
        assert provider.token_calls("refresh_token", email=victim.email) == []
        assert stored(other).get_access_token()

    def test_an_access_token_is_refused_and_replaced(
        self, connect, attempt, provider, refused, forge: Forge, cause: str
    ):
        victim, other = connect(), connect()
        overwrite(victim, "access_token", forge(raw(victim, "access_token"), other, attempt, "access_token"))
        token = stored(victim).get_access_token()
        assert provider.is_valid_access_token(token.reveal(), victim.email)
        assert len(provider.token_calls("refresh_token", email=victim.email)) == 1
        told = [] if cause == "key_missing" else [cause]  # which a site's own key may be, seen from here
        assert [each for _, where, each in refused if where == "access_token"] == told
        assert history(victim, EventKind.VALUE_REFUSED) == [f"access_token_{each}" for each in told]
        assert stored(victim).status == Status.CONNECTED

    def test_a_consent_under_way_is_refused(self, connect, attempt, refused, forge: Forge, cause: str):
        other = connect()
        connect()
        blob = raw(attempt, "code_verifier")
        column = "refresh_token"
        forged = raw(attempt, "nonce") if forge is FORGERIES["of another table"][0] else None
        overwrite(attempt, "code_verifier", forged or forge(blob, other, attempt, column))
        with pytest.raises(SealError) as raised:
            open_secret(ConnectAttempt.objects.get(), "code_verifier")
        assert raised.value.code == cause
        assert refused == [(None, "code_verifier", cause)]


def test_a_bound_value_without_its_label_is_no_plain_one_either(connect, settings):
    """Its Fernet token opens under the site's key, and would give out the place it was sealed for as a token."""
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "ACCEPT_UNBOUND": True}
    mailbox = connect()
    overwrite(mailbox, "refresh_token", unlabelled(raw(mailbox, "refresh_token")))
    with pytest.raises(Unbound):
        stored(mailbox).open_refresh_token()


def test_a_rows_own_older_value_is_not_seen_and_is_no_more_than_an_older_token(connect, provider):
    """A row's values hold no counter: who can bring one back can bring a token back that the row has had."""
    mailbox = connect()
    older = raw(mailbox, "refresh_token")
    mailbox.refresh_now()
    overwrite(mailbox, "refresh_token", older)
    row = stored(mailbox)
    assert row.open_refresh_token() == mailbox.open_refresh_token()
    assert row.status == Status.CONNECTED


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_flip_of_any_bit_of_a_row_opens(connect, data):
    mailbox = MailCredentials.objects.first() or connect()
    blob = bytearray(mailbox.refresh_token.text.encode())
    at = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[at // 8] ^= 1 << at % 8
    overwrite(mailbox, "refresh_token", bytes(blob))
    try:
        opened = stored(mailbox).open_refresh_token()
    except SealError:
        opened = None
    finally:
        overwrite(mailbox, "refresh_token", mailbox.refresh_token.text.encode())
    assert opened is None


# --- the cache ---


def write(key: str, value: Any) -> None:
    """Write into the cache, past the app and past django-redis."""
    if hasattr(cache, "client"):
        cache.client.get_client().set(cache.make_key(key), value)
    else:
        cache.set(key, value)


def whole(raw_value: bytes) -> tuple[Header, bytes]:
    header = Header.parse(raw_value)
    assert header is not None
    return header, raw_value[len(header.bytes()) :]


def with_header(raw_value: bytes, **changes: int) -> bytes:
    header, body = whole(raw_value)
    return header._replace(**changes).bytes() + body


def other_key_label(raw_value: bytes) -> bytes:
    ours, other = (key.fingerprint.encode() for key in keyring().keys)
    return raw_value.replace(ours, other)


def unpacked_plain(raw_value: bytes) -> bytes:
    return whole(raw_value)[0].bytes() + plain_fernet("a token of the attacker's")


CachedForgery = Callable[[bytes, bytes], bytes]
"""From a mailbox's value and another's to what is written over the first."""

CACHED: dict[str, tuple[CachedForgery, str]] = {
    "of another mailbox": (lambda own, other: other, Moved.code),
    "of a later generation": (lambda own, other: with_header(own, generation=99), Moved.code),
    "of another time of issue": (lambda own, other: with_header(own, issued=1), Moved.code),
    "of a longer life": (lambda own, other: with_header(own, expiry=99999999999), Moved.code),
    "of another key, by its label": (lambda own, other: other_key_label(own), Altered.code),
    "plain": (lambda own, other: unpacked_plain(own), Unbound.code),
    "in clear": (lambda own, other: whole(own)[0].bytes() + b"ya29.in-clear", Unbound.code),
    "without a token": (lambda own, other: whole(own)[0].bytes(), Unbound.code),
    "truncated by one byte": (lambda own, other: own[:-1], Altered.code),
    "truncated within its label": (lambda own, other: whole(own)[0].bytes() + b"mo1b:0123", Altered.code),
    "flipped in its ciphertext": (lambda own, other: own[:-40] + bytes([own[-40] ^ 1]) + own[-39:], Altered.code),
    "flipped in its signature": (lambda own, other: own[:-1] + bytes([own[-1] ^ 1]), Altered.code),
}


@pytest.mark.parametrize(("forge", "cause"), CACHED.values(), ids=CACHED)
class TestInTheCache:
    def test_a_copy_is_refused_and_replaced(
        self, any_cache, connect, provider, refused, forge: CachedForgery, cause: str
    ):
        victim, other = connect(), connect()
        token = victim.get_access_token()
        other.get_access_token()
        key = cache_key(victim.pk, "mail")
        write(key, forge(read_raw(key), read_raw(cache_key(other.pk, "mail"))))
        assert stored(victim).get_access_token() == token
        assert refused == [(victim.pk, "cache", cause)]
        assert history(victim, EventKind.VALUE_REFUSED) == [f"cache_{cause}"]
        assert token_cache.get(victim.pk) == token, "the right copy stands there again"
        assert provider.token_calls("refresh_token", email=victim.email) == []

    def test_a_parked_pair_is_refused_and_removed(
        self, any_cache, connect, provider, refused, forge: CachedForgery, cause: str
    ):
        victim, other = connect(seconds_left=-10), connect(seconds_left=-10)
        for row in (victim, other):
            park(row)
        key = cache_key(victim.pk, "parked")
        write(key, forge(read_raw(key), read_raw(cache_key(other.pk, "parked"))))
        assert victim.get_access_token()
        assert (victim.pk, "parked", cause) in refused
        assert history(victim, EventKind.VALUE_REFUSED) == [f"parked_{cause}"]
        assert parking.parked(victim.pk) is None
        assert len(provider.token_calls("refresh_token", email=victim.email)) == 1, "nothing of it was believed"


def park(row: MailCredentials) -> ParkedPair:
    tokens = TokenSet(
        access_token=Secret("parked access"), expires_in=3600, refresh_token=Secret("parked refresh")
    )
    pair = ParkedPair.of(row.generation, row.open_refresh_token(), tokens, timezone.now())
    assert parking.park(row.pk, pair)
    return pair


class TestWhatIsMovedIntoTheCache:
    def test_a_rows_refresh_token_is_no_copy(self, any_cache, connect, refused):
        mailbox = connect()
        token = mailbox.get_access_token()
        header, _ = whole(read_raw(cache_key(mailbox.pk, "mail")))
        write(cache_key(mailbox.pk, "mail"), header.bytes() + raw(mailbox, "refresh_token"))
        assert stored(mailbox).get_access_token() == token
        assert refused == [(mailbox.pk, "cache", Moved.code)]

    def test_a_parked_pair_is_no_copy(self, any_cache, connect, refused):
        mailbox = connect()
        token = mailbox.get_access_token()
        park(mailbox)
        write(cache_key(mailbox.pk, "mail"), read_raw(cache_key(mailbox.pk, "parked")))
        assert stored(mailbox).get_access_token() == token
        assert refused == [(mailbox.pk, "cache", Moved.code)]

    def test_a_copy_is_no_row(self, any_cache, connect):
        mailbox = connect(seconds_left=-10)
        header = Header(mailbox.generation, 1, 2)
        sealed = seal(Secret("a token"), place_of(mailbox.pk, "mail", header))
        overwrite(mailbox, "refresh_token", sealed.text.encode())
        with pytest.raises(CredentialsUnreadable):
            stored(mailbox).get_access_token()
        assert stored(mailbox).status_reason == Moved.code

    def test_an_older_copy_is_what_it_says_and_goes_with_the_next_reconciliation(self, any_cache, connect):
        """It cannot be told from what a late writer left; its generation gives it away beside the row."""
        mailbox = connect()
        mailbox.get_access_token()
        older = read_raw(cache_key(mailbox.pk, "mail"))
        new = mailbox.refresh_now()
        write(cache_key(mailbox.pk, "mail"), older)
        assert reconcile_cache().drift == {"older": 1}
        assert token_cache.get(mailbox.pk) == new

    def test_an_older_pair_is_not_adopted(self, any_cache, connect, provider):
        """It says which refresh token it replaced, and that is none that the row has."""
        mailbox = connect(seconds_left=-10)
        park(mailbox)
        older = read_raw(cache_key(mailbox.pk, "parked"))
        parking.discard(mailbox.pk)
        mailbox.refresh_now()
        write(cache_key(mailbox.pk, "parked"), older)
        assert stored(mailbox).refresh_now()
        assert stored(mailbox).open_refresh_token().reveal() != "parked refresh"


class TestAKeyThatACacheLacks:
    def test_is_a_miss_and_nothing_more(self, any_cache, connect, provider, settings, refused):
        """During a change of keys a host may meet copies under a key that it has not yet, or no more."""
        mailbox, keys = connect(), settings.FERNET_KEYS
        settings.FERNET_KEYS = [new_key(), *keys]
        token = mailbox.get_access_token()
        copy = read_raw(cache_key(mailbox.pk, "mail"))
        settings.FERNET_KEYS = keys
        assert token_cache.get(mailbox.pk) is None
        assert read_raw(cache_key(mailbox.pk, "mail")) == copy, "another host may still use it"
        assert stored(mailbox).get_access_token() == token
        assert token_cache.get(mailbox.pk) == token
        assert refused == []
        assert provider.token_calls("refresh_token", email=mailbox.email) == []


def test_whoever_keeps_poisoning_a_mailbox_fills_no_history(locmem_cache, connect):
    mailbox = connect()
    mailbox.get_access_token()
    good = read_raw(cache_key(mailbox.pk, "mail"))
    for _ in range(5):
        write(cache_key(mailbox.pk, "mail"), good[:-1])
        stored(mailbox).get_access_token()
    assert history(mailbox, EventKind.VALUE_REFUSED) == ["cache_altered"]


def test_a_history_that_cannot_be_written_stops_nobody(locmem_cache, connect):
    """A poisoned copy of a mailbox that is gone: there is no history to write it into."""
    mailbox = connect()
    mailbox.get_access_token()
    pk, copy = mailbox.pk, read_raw(cache_key(mailbox.pk, "mail"))
    mailbox.delete()
    token_cache.forget(pk)
    write(cache_key(pk, "mail"), copy[:-1])
    with pytest.raises(MailCredentials.DoesNotExist):
        MailCredentials.objects.get_access_token(pk)
