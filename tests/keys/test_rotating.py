"""Everything is sealed anew under the first key while the site runs; nobody's change is lost by it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.cache import cache_key, read_raw, token_cache
from mail_oauth.connect.switch import pause
from mail_oauth.encryption import keyring, seal
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.parking import ParkedPair
from mail_oauth.refresh import engine
from mail_oauth.refresh.engine import refresh
from mail_oauth.tokens import Secret, TokenSet
from mail_oauth.upkeep import rekey
from mail_oauth.upkeep.columns import SealedTable, sealed_tables
from mail_oauth.upkeep.rekey import rotate_keys
from mail_oauth.upkeep.swap import Swap, swap
from tests.keys.conftest import posts_of
from tests.sealing.blobs import overwrite, raw

pytestmark = pytest.mark.django_db

TOKENS = ("access_token", "refresh_token")


def stored(mailbox: MailCredentials) -> MailCredentials:
    return MailCredentials.objects.get(pk=mailbox.pk)


def fingerprints() -> Counter[str]:
    """How many tokens of mailboxes are under which key."""
    rows = MailCredentials.objects.all()
    values = [getattr(row, column) for row in rows for column in TOKENS]
    return Counter(value.fingerprint for value in values if value is not None)


def secrets(mailbox: MailCredentials) -> list[str]:
    row = stored(mailbox)
    token = row.open_access_token()
    return [token.reveal() if token else "", row.open_refresh_token().reveal()]


@pytest.fixture
def table() -> SealedTable:
    [found] = [each for each in sealed_tables() if each.model is MailCredentials]
    return found


def as_read() -> list[Swap]:
    """What a batch would swap of refresh tokens, from what it reads now."""
    rows = MailCredentials.objects.order_by("pk")
    made = [(row, seal(row.open_refresh_token(), row.place("refresh_token"))) for row in rows]
    return [Swap(row.pk, ((row.refresh_token, new),)) for row, new in made]


def park(row: MailCredentials) -> None:
    tokens = TokenSet(
        access_token=Secret("parked access"), expires_in=3600, refresh_token=Secret("parked refresh")
    )
    assert parking.park(row.pk, ParkedPair.of(row.generation, row.open_refresh_token(), tokens, timezone.now()))


class TestOneRun:
    def test_seals_every_token_under_the_first_key_and_changes_none(self, connect, keys):
        rows = [connect() for _ in range(5)]
        before = [secrets(row) for row in rows]
        new = keys.first()
        report = rotate_keys(batch=2)
        assert (report.resealed, report.changed, report.unreadable, report.ended) == (10, 0, 0, "done")
        assert fingerprints() == {new: 10}
        keys.drop_old()
        assert [secrets(row) for row in rows] == before

    def test_touches_nothing_else_of_a_row(self, connect, keys):
        mailbox = connect()
        others = [field.name for field in MailCredentials._meta.concrete_fields if field.name not in TOKENS]
        before = MailCredentials.objects.values(*others).get(), list(mailbox.events.values())
        keys.first()
        rotate_keys()
        assert (MailCredentials.objects.values(*others).get(), list(mailbox.events.values())) == before
        assert mailbox.generation == stored(mailbox).generation, "so cached copies stay good"

    def test_leaves_cached_copies_which_are_good_until_their_key_goes(self, locmem_cache, connect, keys, provider):
        mailbox = connect()
        token = mailbox.get_access_token()
        copy = read_raw(cache_key(mailbox.pk, "mail"))
        keys.first()
        rotate_keys()
        assert read_raw(cache_key(mailbox.pk, "mail")) == copy
        assert token_cache.get(mailbox.pk) == token
        keys.drop_old()
        assert token_cache.get(mailbox.pk) is None
        assert mailbox.get_access_token() == token, "from the row"
        assert posts_of(provider, mailbox) == 0

    def test_finds_consents_under_way_too(self, user, keys):
        attempt = ConnectAttempt(user=user, provider="microsoft", expires_at=timezone.now() + timedelta(minutes=5))
        attempt.nonce = seal(Secret("nonce"), attempt.place("nonce"))
        attempt.save()
        new = keys.first()
        assert rotate_keys().resealed == 1
        assert ConnectAttempt.objects.get().nonce.fingerprint == new

    def test_finds_the_field_in_other_apps_whatever_their_managers_hide(self, vault, keys):
        for name in ("seen", "hidden"):
            jewel = vault.Jewel(name=name, hidden=name == "hidden")
            jewel.combination = jewel.sealed(f"combination of {name}")
            jewel.save()
        setting = vault.Setting(name="inherited")
        setting.combination = setting.sealed("inherited combination")
        setting.save()
        new = keys.first()
        assert rotate_keys(batch=1).resealed == 3
        keys.drop_old()
        for jewel in vault.Jewel._base_manager.all():
            assert jewel.combination.fingerprint == new
            assert keyring().unseal(jewel.combination, jewel.place("combination"))

    def test_has_nothing_to_do_the_second_time(self, connect, keys):
        connect()
        keys.first()
        rotate_keys()
        before = MailCredentials.objects.values_list(*TOKENS).get()
        report = rotate_keys()
        assert (report.resealed, report.passes) == (0, 1)
        assert MailCredentials.objects.values_list(*TOKENS).get() == before

    def test_of_no_rows_does_nothing(self, keys):
        keys.first()
        assert rotate_keys().ok

    def test_seals_the_one_value_of_a_row_that_needs_it(self, connect, keys):
        mailbox = connect()
        new = keys.first()
        access = mailbox.open_refresh_token()
        MailCredentials.objects.update(access_token=mailbox.sealed("access_token", access))
        untouched = raw(mailbox, "access_token")
        assert rotate_keys().resealed == 1
        assert raw(mailbox, "access_token") == untouched
        assert fingerprints() == {new: 2}

    def test_leaves_empty_columns_empty(self, connect, keys):
        mailbox = connect(access_token=None)
        keys.first()
        assert rotate_keys().resealed == 1
        assert stored(mailbox).access_token is None

    def test_on_a_dry_run_only_counts(self, locmem_cache, connect, keys):
        mailbox = connect()
        park(mailbox)
        keys.first()
        before = raw(mailbox, "refresh_token"), read_raw(cache_key(mailbox.pk, "parked"))
        report = rotate_keys(dry_run=True)
        assert (report.resealed, report.parked, report.ended) == (2, 1, "done")
        assert (raw(mailbox, "refresh_token"), read_raw(cache_key(mailbox.pk, "parked"))) == before

    def test_ends_at_its_limit_and_the_next_goes_on(self, connect, keys):
        for _ in range(3):
            connect()
        keys.first()
        report = rotate_keys(batch=2, limit=1)
        assert (report.resealed, report.ended) == (2, "limit")
        assert report.ok
        assert rotate_keys().resealed == 4

    @pytest.mark.parametrize("batch", [1, 2, 500])
    def test_comes_past_more_unreadable_rows_than_its_limit(self, connect, keys, batch):
        rows = sorted((connect() for _ in range(5)), key=lambda row: row.pk)
        for row in rows[:3]:
            for column in ("access_token", "refresh_token"):
                overwrite(row, column, raw(row, column)[:-4])
        keys.first()
        first, second, third = (rotate_keys(batch=batch, limit=1) for _ in range(3))
        assert (first.resealed, second.resealed, third.resealed) == (2, 2, 0)
        assert (first.ended, third.ended, third.unreadable) == ("limit", "done", 6)

    def test_ends_when_its_time_is_over_or_when_it_is_told(self, connect, keys):
        connect()
        keys.first()
        assert rotate_keys(seconds=-1).ended == "time"
        assert rotate_keys(stopped=lambda: True).ended == "stopped"
        assert rotate_keys().resealed == 2

    def test_tells_how_far_it_is(self, connect, keys):
        for _ in range(3):
            connect()
        keys.first()
        told: list[int] = []
        rotate_keys(batch=2, progress=told.append)
        assert told == [4, 6]


class TestWhatCannotBeOpened:
    def test_is_named_and_stays_byte_for_byte(self, connect, keys):
        good, altered, foreign = connect(), connect(), connect()
        broken = raw(altered, "refresh_token")[:-8]
        overwrite(altered, "refresh_token", broken)
        elsewhere = raw(foreign, "refresh_token").replace(keys.fingerprints[0].encode(), b"0123456789abcdef")
        overwrite(foreign, "refresh_token", elsewhere)
        new = keys.first()
        report = rotate_keys()
        assert (report.resealed, report.unreadable, report.ok) == (4, 2, False)
        assert sorted(report.named) == sorted(
            [
                f"mail_oauth_mailcredentials.refresh_token {altered.pk}: altered",
                f"mail_oauth_mailcredentials.refresh_token {foreign.pk}: key_missing 0123456789abcdef",
            ]
        )
        assert raw(altered, "refresh_token") == broken
        assert raw(foreign, "refresh_token") == elsewhere
        assert {each.fingerprint for each in (stored(good).access_token, stored(good).refresh_token)} == {new}

    def test_is_counted_in_full_and_named_in_part(self, connect, keys, monkeypatch):
        monkeypatch.setattr(rekey, "MOST_NAMED", 1)
        connect(), connect()
        keys.replace_all()
        report = rotate_keys()
        assert (report.unreadable, len(report.named)) == (4, 1)

    def test_in_clear_or_unbound_is_left_for_bind_values(self, connect, keys):
        mailbox = connect()
        overwrite(mailbox, "refresh_token", b"ya29.in-clear")
        keys.first()
        report = rotate_keys()
        assert report.named == (f"mail_oauth_mailcredentials.refresh_token {mailbox.pk}: unbound",)
        assert "ya29" not in repr(report)


class TestAgainstOthers:
    def test_a_refresh_between_reading_and_writing_wins(self, connect, keys, table, provider):
        mailbox = connect()
        keys.first()
        ours = as_read()
        stored(mailbox).refresh_now()
        newer = secrets(mailbox)
        assert swap(table, ["refresh_token"], ours) == 0
        assert secrets(mailbox) == newer
        assert posts_of(provider, mailbox) == 1

    def test_of_a_batch_only_what_was_changed_is_left(self, connect, keys, table):
        rows = [connect() for _ in range(4)]
        keys.first()
        swaps = as_read()
        stored(rows[0]).refresh_now()
        rows[1].delete()
        assert swap(table, ["refresh_token"], swaps) == 2
        assert swap(table, ["refresh_token"], swaps) == 0, "what was swapped is no more what was read"
        assert swap(table, ["refresh_token"], []) == 0

    @pytest.mark.parametrize("column", TOKENS)
    def test_a_row_of_which_one_value_was_changed_is_left_as_a_whole(self, connect, keys, table, column):
        mailbox = connect()
        keys.first()
        row = stored(mailbox)
        values = [(getattr(row, name), row.sealed(name, Secret("ours"))) for name in TOKENS]
        theirs = row.sealed(column, Secret("theirs"))
        MailCredentials.objects.update(**{column: theirs})
        assert swap(table, TOKENS, [Swap(row.pk, tuple(values))]) == 0
        assert getattr(stored(mailbox), column) == theirs
        assert "ours" not in secrets(mailbox)

    def test_what_is_changed_meanwhile_is_found_by_the_next_pass(self, connect, keys, monkeypatch):
        """By a host that still seals under the old key."""
        mailbox = connect()
        new = keys.first()
        late = iter([True])

        def overtaken(*what: Any) -> int:
            if next(late, False):
                current = keys.settings.FERNET_KEYS
                keys.settings.FERNET_KEYS = list(reversed(current))
                stored(mailbox).refresh_now()
                keys.settings.FERNET_KEYS = current
            return swap(*what)

        monkeypatch.setattr(rekey, "swap", overtaken)
        report = rotate_keys()
        assert (report.changed, report.ended) == (2, "done")
        assert report.passes > 1
        assert fingerprints() == {new: 2}

    def test_a_pair_that_comes_back_after_its_row_was_sealed_anew_is_saved(self, connect, keys):
        mailbox = connect(seconds_left=-10)
        claimed = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
        keys.first()
        rotate_keys()
        outcome = refresh(claimed, Transitions(MailCredentials.objects))
        assert outcome.token is not None
        assert stored(mailbox).open_access_token() == outcome.token

    def test_also_where_oauth_was_switched_off_meanwhile(self, connect, keys, provider):
        """The generation has moved, and the refresh token reads otherwise: it is the same grant all the same."""
        mailbox = connect("keycloak", seconds_left=-10)
        claimed = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
        transitions = Transitions(MailCredentials.objects)
        save = transitions.save_tokens

        def late(grant: Any, *rest: Any, **how: Any) -> Any:
            keys.first()
            rotate_keys()
            pause(stored(mailbox))
            return save(grant, *rest, **how)

        transitions.save_tokens = late  # type: ignore[method-assign]
        refresh(claimed, transitions)
        row = stored(mailbox)
        assert not row.use_oauth
        assert provider.is_current_refresh_token(row.open_refresh_token().reveal()), "the new pair is lost"

    def test_what_was_claimed_under_a_key_that_is_gone_is_given_back_not_called_unreadable(self, connect, keys):
        mailbox = connect(seconds_left=-10)
        claimed = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
        keys.first()
        rotate_keys()
        keys.drop_old()
        outcome = refresh(claimed, Transitions(MailCredentials.objects))
        assert outcome.token is None
        row = stored(mailbox)
        assert (row.status, row.lease_owner, row.generation) == ("connected", "", mailbox.generation)
        assert MailCredentials.objects.due().get() == row
        assert row.get_access_token()

    def test_whoever_seals_under_an_older_key_for_ever_is_not_followed_for_ever(self, connect, keys, monkeypatch):
        mailbox = connect()
        keys.first()
        old = raw(mailbox, "refresh_token")

        def undone(*what: Any) -> int:
            done = swap(*what)
            overwrite(mailbox, "refresh_token", old)
            return done

        monkeypatch.setattr(rekey, "swap", undone)
        report = rotate_keys()
        assert (report.ended, report.passes, report.ok) == ("passes", rekey.MOST_PASSES, False)

    def test_a_database_that_is_away_for_a_moment_is_asked_again(self, connect, keys, monkeypatch):
        connect()
        keys.first()
        monkeypatch.setattr(engine, "SAVE_PAUSES", (0, 0))
        failures = iter([True])

        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if " SET " in sql and next(failures, False):
                raise OperationalError("deadlock detected")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(refuse):
            assert rotate_keys().resealed == 2

    def test_one_that_stays_away_is_an_error_and_the_next_run_goes_on(self, connect, keys, monkeypatch):
        connect(), connect()
        keys.first()
        monkeypatch.setattr(engine, "SAVE_PAUSES", ())
        writes = iter(range(100))

        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if " SET " in sql and next(writes) >= 1:
                raise OperationalError("the database is away")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
            rotate_keys(batch=1)
        assert rotate_keys().resealed == 2


class TestParkedPairs:
    def test_are_sealed_anew_with_the_rest_of_their_time(self, any_cache, connect, keys):
        mailbox = connect(seconds_left=-10)
        park(mailbox)
        before = parking.parked(mailbox.pk)
        new = keys.first()
        assert rotate_keys().parked == 1
        assert parking.fingerprints([mailbox.pk]) == {mailbox.pk: new}
        keys.drop_old()
        assert parking.parked(mailbox.pk) == before
        assert rotate_keys().parked == 0

    def test_keep_their_time(self, redis_cache, connect, keys):
        from django_redis import get_redis_connection

        mailbox = connect(seconds_left=-10)
        park(mailbox)
        client = get_redis_connection("default")
        [key] = client.scan_iter("*parked*")
        client.expire(key, 1000)
        keys.first()
        rotate_keys()
        assert 900 < client.ttl(key) <= 1000

    def test_that_were_adopted_or_replaced_meanwhile_are_left_alone(self, any_cache, connect, keys, monkeypatch):
        mailbox = connect(seconds_left=-10)
        park(mailbox)
        keys.first()
        replace = parking.replace

        def late(key: str, held: bytes, value: bytes, seconds: int) -> bool:
            parking.discard(mailbox.pk)
            return replace(key, held, value, seconds)

        monkeypatch.setattr(parking, "replace", late)
        assert rotate_keys().parked == 0
        assert parking.parked(mailbox.pk) is None, "nobody brings back what is gone"

    def test_that_cannot_be_opened_are_named_and_stay(self, locmem_cache, connect, keys):
        mailbox = connect(seconds_left=-10)
        park(mailbox)
        before = read_raw(cache_key(mailbox.pk, "parked"))
        put_back = keys.replace_all()
        report = rotate_keys()
        assert report.named[-1].startswith(f"parked {mailbox.pk}: key_missing")
        assert read_raw(cache_key(mailbox.pk, "parked")) == before
        put_back()
        assert rotate_keys().parked == 1

    def test_in_a_cache_that_is_away_fail_the_run(self, redis_cache, connect, keys):
        connect()
        keys.first()
        redis_cache.kill()
        report = rotate_keys()
        assert report.resealed == 2
        assert report.cache_error
        assert not report.ok


def test_a_row_that_somebody_has_locked_is_passed_over_and_waited_for_by_nobody(
    transactional_db, connect, keys, table
):
    """A batch waits for no lock, so no worker that holds several can come to wait for it."""
    from tests.concurrency import together

    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite locks the whole database; runs on the other databases")
    from django.db import transaction

    locked, free = connect(), connect()
    new = keys.first()
    swaps = as_read()
    with transaction.atomic():
        MailCredentials.objects.select_for_update().get(pk=locked.pk)
        assert together(1, lambda: swap(table, ["refresh_token"], swaps)) == [1]
    assert stored(free).refresh_token.fingerprint == new
    assert stored(locked).refresh_token == locked.refresh_token
