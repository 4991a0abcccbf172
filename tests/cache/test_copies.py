"""On every kind of cache: a copy is served while it is good, and never instead of a newer one."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.utils import timezone

from mail_oauth.cache import LAST_GENERATION, Header, token_cache
from mail_oauth.tokens import AccessToken


class TestACopy:
    def test_comes_back_as_it_was(self, any_cache, pk, token):
        stored = token(generation=7)
        assert token_cache.get(pk) is None
        assert token_cache.put(pk, stored)
        found = token_cache.get(pk)
        assert found == stored
        assert (found.issued_at, found.expires_at, found.generation) == (stored.issued_at, stored.expires_at, 7)

    def test_is_of_one_mailbox_and_one_resource(self, any_cache, pk, token):
        token_cache.put(pk, token())
        assert token_cache.get(uuid4()) is None
        assert token_cache.get(pk, "graph") is None
        token_cache.put(pk, token(value="for graph"), "graph")
        assert token_cache.get(pk).reveal() == "a-token-in-clear"
        assert token_cache.get(pk, "graph").reveal() == "for graph"

    def test_may_be_asked_for_by_text(self, any_cache, pk, token):
        token_cache.put(pk, token())
        assert token_cache.get(str(pk)) == token_cache.get(pk)

    def test_is_gone_once_forgotten(self, any_cache, pk, token):
        token_cache.put(pk, token())
        token_cache.forget(pk)
        assert token_cache.get(pk) is None

    def test_ends_with_its_token(self, any_cache, pk, token, monkeypatch):
        assert token_cache.put(pk, token(seconds=2))
        if any_cache == "redis":  # whose clock nobody turns
            time.sleep(2.1)
        else:
            then, moment = time.time() + 2.1, timezone.now() + timedelta(seconds=2.1)
            monkeypatch.setattr(time, "time", lambda: then)
            for clock in ("django.utils.timezone.now", "django.core.cache.backends.db.tz_now"):
                monkeypatch.setattr(clock, lambda: moment)
        assert cache.get(f"mail_oauth:mail:{pk}") is None
        assert token_cache.get(pk) is None

    @pytest.mark.parametrize("seconds", [-3600, -1, 0])
    def test_of_a_token_that_has_expired_is_not_made(self, any_cache, pk, token, seconds):
        assert not token_cache.put(pk, token(seconds=seconds))
        assert token_cache.get(pk) is None

    def test_of_a_long_token_is_whole(self, any_cache, pk, token):
        token_cache.put(pk, token(value="x" * 64 * 1024))
        assert len(token_cache.get(pk)) == 64 * 1024

    def test_holds_no_token_in_clear(self, any_cache, pk, token):
        token_cache.put(pk, token())
        if any_cache != "redis":  # Redis' raw bytes are looked at in test_redis
            assert b"a-token-in-clear" not in cache.get(f"mail_oauth:mail:{pk}")


class TestTheNewerWins:
    def test_over_an_older_copy(self, any_cache, pk, token):
        token_cache.put(pk, token(1, value="old"))
        assert token_cache.put(pk, token(2, value="new"))
        assert token_cache.get(pk).reveal() == "new"

    def test_over_a_late_writer(self, any_cache, pk, token):
        token_cache.put(pk, token(2, value="new"))
        assert not token_cache.put(pk, token(1, value="old"))
        assert token_cache.get(pk).reveal() == "new"

    def test_counted_as_numbers(self, any_cache, pk, token):
        token_cache.put(pk, token(9, value="old"))
        assert token_cache.put(pk, token(10, value="new"))
        assert not token_cache.put(pk, token(9, value="old"))
        assert token_cache.get(pk).reveal() == "new"

    def test_the_same_generation_may_be_written_again(self, any_cache, pk, token):
        assert token_cache.put(pk, token(3))
        assert token_cache.put(pk, token(3))


class TestATombstone:
    def test_beats_late_writes(self, any_cache, pk, token):
        token_cache.put(pk, token(1))
        assert token_cache.bury(pk, 2)
        assert token_cache.get(pk) is None
        assert not token_cache.put(pk, token(1))
        assert not token_cache.put(pk, token(2)), "also one of the generation that was buried"
        assert token_cache.get(pk) is None

    def test_gives_way_to_a_reconnected_mailbox(self, any_cache, pk, token):
        token_cache.bury(pk, 2)
        assert token_cache.put(pk, token(3))
        assert token_cache.get(pk) == token(3)

    def test_does_not_bury_what_came_after(self, any_cache, pk, token):
        token_cache.put(pk, token(5))
        assert not token_cache.bury(pk, 4)
        assert token_cache.get(pk) == token(5)

    def test_of_a_deleted_row_is_final(self, any_cache, pk, token):
        token_cache.bury(pk, LAST_GENERATION)
        assert not token_cache.put(pk, token(10**9))


class TestHeaders:
    def test_tell_generations_without_tokens(self, any_cache, pk, token):
        buried, missing, poisoned = uuid4(), uuid4(), uuid4()
        good = token(4)
        token_cache.put(pk, good)
        token_cache.bury(buried, 6)
        found = token_cache.headers([pk, buried, missing, poisoned])
        issued, expiry = int(good.issued_at.timestamp()), int(good.expires_at.timestamp())
        assert found == {
            pk: Header(4, issued, expiry),
            buried: Header(6, 0, 0),
            missing: None,
            poisoned: None,
        }

    def test_of_none_are_none(self, any_cache):
        assert token_cache.headers([]) == {}

    @pytest.mark.parametrize(
        "raw",
        [
            None,
            "1|2|3|4|",
            5,
            b"",
            b"1|",
            b"1|2|3|4",
            b"2|2|3|4|",
            b"1|x|3|4|",
            b"1||3|4|",
            b"1|-2|3|4|",
            b"\xff" * 99,
        ],
    )
    def test_are_not_read_from_what_others_wrote(self, raw):
        assert Header.parse(raw) is None

    def test_are_read_as_they_were_written(self):
        header = Header(12, 345, 678)
        assert Header.parse(header.bytes() + b"mo1:x") == header


@pytest.mark.django_db
class TestPoison:
    """Whoever can write the cache can make it slower; not make it lie."""

    @pytest.fixture
    def mailbox(self, any_cache, connect):
        made = connect()
        made.get_access_token()
        return made

    def put_raw(self, mailbox, value: bytes) -> None:
        key = f"mail_oauth:mail:{mailbox.pk}"
        if hasattr(cache, "client"):
            cache.client.get_client().set(cache.make_key(key), value)
        else:
            cache.set(key, value)

    def get_raw(self, mailbox) -> bytes:
        key = f"mail_oauth:mail:{mailbox.pk}"
        if hasattr(cache, "client"):
            return cache.client.get_client().get(cache.make_key(key))
        return cache.get(key)

    def is_repaired(self, mailbox, posts_before: int, provider) -> None:
        token = mailbox.open_access_token()
        assert mailbox.get_access_token() == token
        assert token_cache.get(mailbox.pk) == token, "the copy is good again"
        assert len(provider.token_calls("refresh_token")) == posts_before, "and no call was made for it"

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"garbage",
            b"cos\nsystem\n(S'touch /tmp/poisoned'\ntR.",
            b"\x80\x04\x95",
            b"1|1|1|9999999999|mo1:0000000000000000:gAAAA",
            b"1|99999999999999999999999|1|9999999999|x",
            b"1|1|1|99999999999999999999999|x",
            b"1|1|1|9999999999|" + b"\xff" * 100,
        ],
        ids=repr,
    )
    def test_is_refused_and_repaired(self, mailbox, provider, value):
        before = len(provider.token_calls("refresh_token"))
        self.put_raw(mailbox, value)
        self.is_repaired(mailbox, before, provider)

    def test_of_another_mailboxs_copy(self, mailbox, connect, provider):
        other = connect()
        other.get_access_token()
        before = len(provider.token_calls("refresh_token"))
        self.put_raw(mailbox, self.get_raw(other))
        self.is_repaired(mailbox, before, provider)

    @pytest.mark.parametrize("part", [1, 2, 3], ids=["generation", "issued", "expiry"])
    def test_of_the_header(self, mailbox, provider, part):
        before = len(provider.token_calls("refresh_token"))
        parts = self.get_raw(mailbox).split(b"|", 4)
        parts[part] = str(int(parts[part]) + 100).encode()
        self.put_raw(mailbox, b"|".join(parts))
        self.is_repaired(mailbox, before, provider)

    def test_of_the_sealed_text(self, mailbox, provider):
        before = len(provider.token_calls("refresh_token"))
        value = bytearray(self.get_raw(mailbox))
        value[len(value) // 2] ^= 1
        self.put_raw(mailbox, bytes(value))
        self.is_repaired(mailbox, before, provider)

    def test_of_a_key_that_is_no_more(self, mailbox, provider, settings):
        from mail_oauth.encryption import seal
        from mail_oauth.tokens import Secret

        old = token_cache.get(mailbox.pk)
        parts = self.get_raw(mailbox).split(b"|", 4)
        keys, settings.FERNET_KEYS = settings.FERNET_KEYS, ["an old key"]
        header = Header.parse(self.get_raw(mailbox))
        place = f"cache:mail:{mailbox.pk}:{header.generation}:{header.issued}:{header.expiry}"
        parts[4] = seal(Secret(old.reveal()), place).text.encode()
        settings.FERNET_KEYS = keys
        before = len(provider.token_calls("refresh_token"))
        self.put_raw(mailbox, b"|".join(parts))
        self.is_repaired(mailbox, before, provider)


def test_a_token_that_is_cached_is_an_access_token(locmem_cache, pk, token):
    token_cache.put(pk, token())
    assert isinstance(token_cache.get(pk), AccessToken)


def test_the_cache_is_the_one_of_the_settings(locmem_cache, settings, pk, token):
    settings.CACHES = {
        **settings.CACHES,
        "tokens": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "tokens"},
    }
    settings.MAIL_OAUTH = {"CACHE": "tokens", "CACHE_PREFIX": "tenant7"}
    token_cache.put(pk, token())
    from django.core.cache import caches

    assert caches["tokens"].get(f"tenant7:mail:{pk}") is not None
    assert cache.get(f"tenant7:mail:{pk}") is None
    assert token_cache.get(pk) == token()
    caches["tokens"].clear()
