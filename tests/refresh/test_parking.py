"""A pair that the database cannot take is parked, and adopted before the provider is asked again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth import cache as cache_module
from mail_oauth import parking
from mail_oauth.cache import cache_key, token_cache
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import KeyMissing, SealError
from mail_oauth.managers.columns import token_changes
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.parking import ParkedPair
from mail_oauth.refresh import engine
from mail_oauth.refresh.adoption import parked_for
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.sweep import refresh_batch
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db


@contextmanager
def statements_fail(which: Callable[[str], bool]) -> Iterator[None]:
    """The database refuses some statements."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if which(sql):
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


def saves(sql: str) -> bool:
    return sql.startswith("UPDATE") and "last_refresh_error" in sql


def fall_due() -> None:
    """The lease of whoever failed to save ends."""
    MailCredentials.objects.exclude(lease_owner="").update(refresh_at="2000-01-01T00:00:00Z")


def park_one(mailbox: MailCredentials) -> None:
    """Refresh while no outcome can be saved."""
    with statements_fail(saves), pytest.raises(OperationalError):
        mailbox.refresh_now()
    fall_due()


def newest(provider, mailbox: MailCredentials) -> str:
    return provider.newest_refresh_token(mailbox.email, "oidc")


def sweep(revoke: Callable[[MailCredentials], object] = lambda row: None):
    return refresh_batch(revoke=revoke, threads=0)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """On this host, not in the database, so much time has passed."""
    now = timezone.now() + timedelta(seconds=seconds)
    monkeypatch.setattr(timezone, "now", lambda: now)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(engine, "SAVE_PAUSES", (0,))


class TestAPairThatCannotBeSaved:
    def test_is_handed_to_nobody(self, any_cache, mailbox, posts):
        park_one(mailbox)
        assert token_cache.get(mailbox.pk) is None
        assert stored(mailbox).access_token == mailbox.access_token
        assert posts(mailbox) == 1

    def test_is_adopted_by_the_next_caller_without_a_call(self, any_cache, mailbox, provider, posts):
        park_one(mailbox)
        token = mailbox.get_access_token()
        assert posts(mailbox) == 1
        row = stored(mailbox)
        assert row.open_access_token() == token == token_cache.get(mailbox.pk)
        assert row.open_refresh_token().reveal() == newest(provider, mailbox)
        assert (row.lease_owner, row.generation) == ("", mailbox.generation + 1)
        assert parking.parked(mailbox.pk) is None
        assert mailbox.refresh_now() != token, "and the grant goes on"

    def test_is_adopted_by_who_forces_a_refresh(self, any_cache, mailbox, posts):
        park_one(mailbox)
        assert mailbox.refresh_now() == stored(mailbox).open_access_token()
        assert posts(mailbox) == 1

    def test_is_adopted_by_the_sweep(self, any_cache, mailbox, provider, posts):
        park_one(mailbox)
        assert sweep().refreshed == 1
        assert posts(mailbox) == 1
        assert stored(mailbox).open_refresh_token().reveal() == newest(provider, mailbox)

    def test_is_adopted_by_reconciliation(self, any_cache, mailbox, provider, posts):
        park_one(mailbox)
        assert reconcile_cache(dry_run=True).adopted == 1
        assert stored(mailbox).generation == mailbox.generation
        report = reconcile_cache()
        assert (report.adopted, report.drift, report.cache_error) == (1, {}, "")
        assert posts(mailbox) == 1
        assert stored(mailbox).open_refresh_token().reveal() == newest(provider, mailbox)
        assert token_cache.get(mailbox.pk) == stored(mailbox).open_access_token()
        assert reconcile_cache().adopted == 0

    def test_waits_for_the_lease_of_who_may_still_be_saving(self, any_cache, mailbox, posts):
        with statements_fail(saves), pytest.raises(OperationalError):
            mailbox.refresh_now()
        assert reconcile_cache().adopted == 0
        assert parking.parked(mailbox.pk) is not None

    def test_stays_parked_while_it_still_cannot_be_saved(self, any_cache, mailbox, posts):
        for _ in range(3):
            park_one(mailbox)
        assert posts(mailbox) == 1
        mailbox.get_access_token()
        assert posts(mailbox) == 1

    def test_has_one_event_and_the_true_times(self, locmem_cache, mailbox, heard):
        before = timezone.now() - timedelta(seconds=1)
        park_one(mailbox)
        after = timezone.now()
        assert heard == []
        mailbox.get_access_token()
        row = stored(mailbox)
        assert before <= row.token_issued_at <= after
        assert row.token_expiry > row.token_issued_at
        assert [(event.kind, event.reason) for event in row.events.all()] == [(EventKind.REFRESHED, "adopted")]
        assert heard == [("token_refreshed", "adopted")]

    def test_is_logged_without_a_token(self, locmem_cache, mailbox, provider, caplog):
        park_one(mailbox)
        (record,) = [each for each in caplog.records if getattr(each, "action", "") == "parking"]
        assert (record.levelno, record.outcome, record.mailbox) == (logging.ERROR, "parked", str(mailbox.pk))
        assert newest(provider, mailbox) not in str(vars(record))

    def test_is_sealed(self, any_cache, mailbox, provider):
        park_one(mailbox)
        raw = cache_module.read_raw(cache_key(mailbox.pk, "parked"))
        assert raw.startswith(f"1|{mailbox.generation}|".encode())
        assert newest(provider, mailbox).encode() not in raw

    def test_that_came_without_an_access_token_is_parked_too(self, any_cache, mailbox, provider, posts):
        """A 200 reply that is refused for its access token has still ended the old refresh token."""
        provider.fail_next(1, Fault.reply_without("access_token"))
        park_one(mailbox)
        token = mailbox.get_access_token()
        assert posts(mailbox) == 2
        assert [call.status for call in provider.token_calls("refresh_token", email=mailbox.email)][1:] == [200]
        row = stored(mailbox)
        assert row.open_access_token() == token
        assert provider.is_current_refresh_token(row.open_refresh_token().reveal())

    def test_is_parked_too_when_a_signal_ends_the_attempts(self, locmem_cache, mailbox, posts, monkeypatch):
        """Celery's soft time limit, or SIGTERM, may raise between the reply and the commit."""

        def interrupt(seconds: float) -> None:
            raise SystemExit

        monkeypatch.setattr(engine.time, "sleep", interrupt)
        with statements_fail(saves), pytest.raises(SystemExit):
            mailbox.refresh_now()
        monkeypatch.undo()
        fall_due()
        mailbox.get_access_token()
        assert posts(mailbox) == 1


class TestAnAgedPair:
    def test_gives_its_refresh_token_not_its_access_token(self, any_cache, mailbox, provider, posts, monkeypatch):
        park_one(mailbox)
        aged = parking.parked(mailbox.pk).tokens.access_token
        with monkeypatch.context() as moved:
            later(moved, 3600)
            token = mailbox.get_access_token()
        assert token.reveal() != aged.reveal()
        assert posts(mailbox) == 2, "one with the parked refresh token; with the old one the grant would be dead"
        row = stored(mailbox)
        assert provider.is_current_refresh_token(row.open_refresh_token().reveal())
        assert row.open_access_token() == token
        assert parking.parked(mailbox.pk) is None

    def test_is_refreshed_by_the_sweep(self, locmem_cache, mailbox, provider, posts, monkeypatch):
        park_one(mailbox)
        with monkeypatch.context() as moved:
            later(moved, 3600)
            assert sweep().refreshed == 1
        assert posts(mailbox) == 2
        assert provider.is_current_refresh_token(stored(mailbox).open_refresh_token().reveal())

    def test_is_saved_by_reconciliation_and_due(self, locmem_cache, mailbox, provider, posts, monkeypatch):
        park_one(mailbox)
        with monkeypatch.context() as moved:
            later(moved, 3600)
            assert reconcile_cache().adopted == 1
        row = stored(mailbox)
        assert (posts(mailbox), row.lease_owner) == (1, "")
        assert row.open_refresh_token().reveal() == newest(provider, mailbox)
        assert MailCredentials.objects.due().filter(pk=row.pk).exists()

    def test_that_is_too_short_for_the_caller_is_not_handed_out(self, locmem_cache, mailbox, posts, monkeypatch):
        park_one(mailbox)
        lifetime = parking.parked(mailbox.pk).tokens.expires_in
        with monkeypatch.context() as moved:
            later(moved, lifetime / 2)
            mailbox.get_access_token(min_validity=lifetime * 0.7)
        assert posts(mailbox) == 2

    def test_survives_a_refresh_that_fails(self, locmem_cache, mailbox, provider, monkeypatch):
        park_one(mailbox)
        provider.fail_next(1, Fault.html())
        with monkeypatch.context() as moved:
            later(moved, 3600)
            assert sweep().failed == 1
        row = stored(mailbox)
        assert row.open_refresh_token().reveal() == newest(provider, mailbox)
        assert row.refresh_failures == 1
        assert mailbox.refresh_now()

    def test_of_a_provider_that_does_not_rotate_brings_nothing(self, locmem_cache, connect, posts, monkeypatch):
        mailbox = connect("google", seconds_left=-10)
        park_one(mailbox)
        with monkeypatch.context() as moved:
            later(moved, 3600)
            mailbox.get_access_token()
        assert posts(mailbox) == 2
        assert parking.parked(mailbox.pk) is None
        assert stored(mailbox).generation == mailbox.generation + 1


class TestAStalePair:
    """Nothing that a person ended comes back."""

    def replant(self, mailbox: MailCredentials) -> ParkedPair:
        """Park, and return the pair, which a late worker may put back after the row has changed."""
        park_one(mailbox)
        pair = parking.parked(mailbox.pk)
        assert pair is not None
        return pair

    def reconnect(self, mailbox: MailCredentials, provider) -> dict[str, Any]:
        reply = provider.grant(mailbox.email, personality="oidc", scope=mailbox.requested_scopes)
        changes = token_changes(mailbox, parse_tokens(reply))
        Transitions(MailCredentials.objects).insist(mailbox.pk, EventKind.RECONNECTED, lambda _: dict(changes))
        return reply

    def test_goes_with_a_reconnect(self, any_cache, mailbox, provider):
        self.replant(mailbox)
        self.reconnect(mailbox, provider)
        assert parking.parked(mailbox.pk) is None

    @pytest.mark.parametrize("by", ["caller", "sweep", "reconcile"])
    def test_is_refused_after_a_reconnect(self, any_cache, mailbox, provider, posts, caplog, by):
        pair = self.replant(mailbox)
        reply = self.reconnect(mailbox, provider)
        assert parking.park(mailbox.pk, pair)
        if by == "caller":
            mailbox.refresh_now()
        elif by == "sweep":
            MailCredentials.objects.update(refresh_at="2000-01-01T00:00:00Z")
            assert sweep().refreshed == 1
        else:
            assert reconcile_cache().adopted == 0
            assert stored(mailbox).open_refresh_token().reveal() == reply["refresh_token"]
        assert "stale" in caplog.text
        assert parking.parked(mailbox.pk) is None
        assert provider.is_current_refresh_token(stored(mailbox).open_refresh_token().reveal())

    def test_is_refused_after_a_disconnect(self, any_cache, mailbox):
        pair = self.replant(mailbox)
        disconnect(stored(mailbox))
        assert parking.parked(mailbox.pk) is None
        assert parking.park(mailbox.pk, pair)
        assert reconcile_cache().adopted == 0
        assert parking.parked(mailbox.pk) is None
        assert (stored(mailbox).status, stored(mailbox).refresh_token) == (Status.DISCONNECTED, None)

    def test_goes_with_its_row(self, any_cache, mailbox):
        self.replant(mailbox)
        mailbox.delete()
        assert parking.parked(mailbox.pk) is None

    def test_is_not_one_whose_mailbox_was_only_switched_off_and_on(self, any_cache, mailbox, provider, posts):
        self.replant(mailbox)
        pause(stored(mailbox))
        assert reconcile_cache().adopted == 0
        resume(stored(mailbox))
        mailbox.refresh_now()
        assert posts(mailbox) == 1
        assert stored(mailbox).open_refresh_token().reveal() == newest(provider, mailbox)

    def test_of_an_unrotated_token_never_replaces_a_newer_access_token(self, locmem_cache, connect, posts):
        mailbox = connect("google", seconds_left=-10)
        pair = self.replant(mailbox)
        parking.discard(mailbox.pk)
        mailbox.refresh_now()
        assert parking.park(mailbox.pk, pair)
        token = mailbox.refresh_now()
        assert posts(mailbox) == 3
        assert token == stored(mailbox).open_access_token()

    def test_leaves_the_one_that_came_after_it(self, any_cache, mailbox):
        pair = self.replant(mailbox)
        newer = ParkedPair.of(pair.generation + 1, pair.tokens.refresh_token, pair.tokens, timezone.now())
        assert parking.park(mailbox.pk, newer)
        assert not parking.park(mailbox.pk, pair), "nor does a late worker write over it"
        parking.discard(mailbox.pk, pair)
        assert parking.parked(mailbox.pk) == newer


class TestACacheThatFails:
    @pytest.fixture
    def dead_redis(self, redis_cache) -> Iterator[None]:
        redis_cache.kill()
        yield
        redis_cache.start()

    def test_too_loses_the_pair_and_says_so(self, dead_redis, mailbox, caplog):
        park_one(mailbox)
        (record,) = [each for each in caplog.records if getattr(each, "action", "") == "parking"]
        assert (record.levelno, record.outcome) == (logging.ERROR, "lost")
        row = stored(mailbox)
        assert (row.generation, row.refresh_token) == (mailbox.generation, mailbox.refresh_token)

    def test_at_the_lookup_lets_the_provider_be_asked(self, dead_redis, mailbox, posts):
        assert mailbox.get_access_token() == stored(mailbox).open_access_token()
        assert posts(mailbox) == 1

    def test_stops_reconciliation_from_looking(self, dead_redis, mailbox):
        assert reconcile_cache().cache_error

    def test_because_it_drops_what_it_gets_is_noticed(self, settings, mailbox, caplog):
        dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        settings.CACHES = {**settings.CACHES, "default": dummy}
        park_one(mailbox)
        assert "lost" in caplog.text

    def test_because_it_lies_in_the_same_database_is_noticed(self, db_cache, mailbox, caplog):
        def fails(sql: str) -> bool:
            return saves(sql) or ("test_cache" in sql and not sql.startswith("SELECT"))

        with statements_fail(fails), pytest.raises(OperationalError):
            mailbox.refresh_now()
        assert "lost" in caplog.text


class TestPoison:
    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"garbage",
            b"1|1|1|1|\xff",
            b"\x80\x04\x95",
            "text",
        ],
        ids=repr,
    )
    def test_is_refused_logged_and_removed(self, any_cache, mailbox, posts, caplog, value):
        self.put(mailbox, value)
        mailbox.get_access_token()
        assert posts(mailbox) == 1
        assert "refused" in caplog.text
        assert parking.parked(mailbox.pk) is None

    def test_under_a_key_that_this_host_lacks_stays_for_one_that_has_it(self, locmem_cache, mailbox, settings):
        keys = settings.FERNET_KEYS
        settings.FERNET_KEYS = ["a key of another host", *keys]
        park_one(mailbox)
        settings.FERNET_KEYS = keys
        with pytest.raises(KeyMissing):
            parking.parked(mailbox.pk)
        assert parked_for(stored(mailbox)) is None
        settings.FERNET_KEYS = ["a key of another host", *keys]
        assert parked_for(stored(mailbox)) is not None

    def test_of_another_mailboxs_pair(self, any_cache, mailbox, connect, posts):
        other = connect("keycloak", seconds_left=-10)
        park_one(other)
        self.put(mailbox, cache_module.read_raw(cache_key(other.pk, "parked")))
        with pytest.raises(SealError):
            parking.parked(mailbox.pk)
        mailbox.get_access_token()
        assert posts(mailbox) == 1

    @pytest.mark.parametrize("part", [1, 2, 3], ids=["generation", "received", "expiry"])
    def test_of_the_header(self, any_cache, mailbox, part):
        park_one(mailbox)
        parts = cache_module.read_raw(cache_key(mailbox.pk, "parked")).split(b"|", 4)
        parts[part] = str(int(parts[part]) + 1).encode()
        self.put(mailbox, b"|".join(parts))
        with pytest.raises(SealError):
            parking.parked(mailbox.pk)

    def test_is_left_alone_by_a_dry_run(self, locmem_cache, mailbox):
        self.put(mailbox, b"garbage")
        assert reconcile_cache(dry_run=True).adopted == 0
        with pytest.raises(SealError):
            parking.parked(mailbox.pk)

    def put(self, mailbox: MailCredentials, value: bytes | str) -> None:
        key = cache_key(mailbox.pk, "parked")
        if hasattr(cache, "client"):
            cache.client.get_client().set(cache.make_key(key), value)
        else:
            cache.set(key, value)


class TestWhatItCosts:
    @pytest.fixture
    def looks(self, monkeypatch) -> list[str]:
        """Every read of the cache, by key."""
        seen: list[str] = []
        for module in (cache_module, parking):
            read = module.read_raw

            def reading(key: str, read: Any = read) -> Any:
                seen.append(key)
                return read(key)

            monkeypatch.setattr(module, "read_raw", reading)
        return seen

    def test_a_cached_read_looks_once(self, locmem_cache, connect, looks):
        mailbox = connect()
        mailbox.get_access_token()
        looks.clear()
        with CaptureQueriesContext(connection) as queries:
            mailbox.get_access_token()
        assert (looks, len(queries)) == ([cache_key(mailbox.pk, "mail")], 0)

    def test_a_refresh_looks_once_more_and_asks_the_database_nothing_more(self, locmem_cache, mailbox, looks):
        with CaptureQueriesContext(connection) as queries:
            mailbox.refresh_now()
        assert looks == [cache_key(mailbox.pk, "parked")]
        statements = [query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"]]
        statements = [word for word in statements if word in {"SELECT", "UPDATE", "INSERT"}]
        counted = ["UPDATE", "INSERT"]
        assert statements == ["SELECT", "UPDATE", "SELECT", "SELECT", "UPDATE", "INSERT", *counted], "as without"


class TestAnAdoptionThatLosesItsClaim:
    def test_makes_no_call_and_keeps_the_pair(self, locmem_cache, mailbox, posts, monkeypatch):
        park_one(mailbox)
        row = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation, force=True)
        MailCredentials.objects.update(lease_owner="somebody else")
        later(monkeypatch, 3600)
        outcome = engine.refresh(row, Transitions(MailCredentials.objects))
        assert outcome.token is None
        assert posts(mailbox) == 1
        assert parking.parked(mailbox.pk) is not None
