"""The layout of the application that kept its tokens in Redis alone, in a real Redis."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import DataError, InternalError, OperationalError, ProgrammingError, connection
from django.utils import timezone

from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.moving import importing
from mail_oauth.refresh import engine
from tests.concurrency import together
from tests.moving.conftest import outcomes

pytestmark = [pytest.mark.django_db]


@pytest.fixture
def redis(redis_server):
    """Its client; what the other application left there."""
    redis_server.start()
    redis_server.flush()
    with redis_server.client() as client:
        client.url = redis_server.url
        yield client


@pytest.fixture
def put(redis, user):
    """Write as that application did, with its time to live."""

    def write(grant=None, *, owner=None, account="account-1", raw=None, **members):
        value = (
            {}
            if grant is None
            else {
                "email": grant.email,
                "accessToken": grant.access_token,
                "refreshToken": grant.refresh_token,
                "tokenExpiry": int(grant.expires_at.timestamp() * 1000),
                "useOAuth": True,
            }
        )
        key = f"email:credentials:{owner or user.pk}:{account}"
        redis.set(key, raw if raw is not None else json.dumps({**value, **members}), ex=24 * 3600)
        return key

    return write


@pytest.fixture
def bring(redis, report, provider):
    return lambda *also: report("redis", "--redis-url", redis.url, "--provider", "microsoft", *also)


class TestAnEntry:
    def test_is_a_mailbox_whose_token_is_there_at_once_and_is_refreshed(
        self, put, granted, bring, user, provider, posts
    ):
        grant = granted()
        put(grant)
        [result] = bring()
        assert (result["outcome"], result["email"]) == ("imported", grant.email)
        row = MailCredentials.objects.get()
        assert (row.user, row.provider, row.email, row.status) == (
            user,
            "microsoft",
            grant.email,
            Status.CONNECTED,
        )
        assert (row.issuer, row.subject) == ("", "")
        assert row.open_refresh_token().reveal() == grant.refresh_token
        assert abs(row.token_expiry - grant.expires_at) < timedelta(seconds=1)
        assert timezone.now() < row.refresh_at < row.token_expiry
        assert row.get_access_token().reveal() == grant.access_token
        assert posts(row) == 0
        assert provider.is_valid_access_token(row.refresh_now().reveal())
        kinds = CredentialEvent.objects.order_by("pk").values_list("kind", "reason")
        assert list(kinds) == [(EventKind.IMPORTED, "redis"), (EventKind.REFRESHED, "")]

    def test_stays_where_it_is(self, put, granted, bring, redis):
        key = put(granted())
        before, ends = redis.get(key), redis.ttl(key)
        bring()
        assert redis.get(key) == before
        assert redis.ttl(key) <= ends
        assert redis.dbsize() == 1

    @pytest.mark.parametrize(
        "spelt",
        [
            lambda moment: moment.isoformat(),
            lambda moment: moment.isoformat().replace("+00:00", "Z"),
            lambda moment: moment.isoformat().replace("+00:00", ".000Z"),
            lambda moment: moment.timestamp() * 1000,
            lambda moment: str(int(moment.timestamp() * 1000)),
            lambda moment: int(moment.timestamp()),
        ],
        ids=["iso", "zulu", "javascript", "milliseconds", "text", "seconds"],
    )
    def test_says_in_any_of_these_ways_when_its_token_ends(self, spelt, put, granted, bring):
        grant = granted()
        put(grant, tokenExpiry=spelt(grant.expires_at))
        assert outcomes(bring()) == ["imported"]
        assert MailCredentials.objects.get().token_expiry == grant.expires_at

    def test_whose_token_is_over_is_refreshed_soon(self, put, granted, bring, provider):
        put(granted(minutes_ago=300))
        bring()
        row = MailCredentials.objects.get()
        assert row.access_token is None
        assert row.refresh_at < timezone.now() + timedelta(minutes=11)
        assert provider.is_valid_access_token(row.get_access_token().reveal())

    def test_that_is_switched_off_is_a_mailbox_that_is_switched_off(self, put, granted, bring, provider):
        put(granted(), useOAuth=False)
        [result] = bring()
        assert (result["outcome"], result["reason"]) == ("imported", "OAuth switched off")
        row = MailCredentials.objects.get()
        assert (row.use_oauth, row.refresh_at) == (False, None)
        assert row.open_refresh_token()

    def test_whose_address_is_only_in_its_key(self, put, granted, bring):
        grant = granted()
        put(grant, account=grant.email, email=None)
        assert outcomes(bring()) == ["imported"]
        assert MailCredentials.objects.get().email == grant.email

    def test_that_names_its_provider_needs_no_option(self, put, granted, report, redis):
        put(granted("google"), provider="gmail")
        assert outcomes(report("redis", "--redis-url", redis.url)) == ["imported"]
        assert MailCredentials.objects.get().provider == "google"

    def test_that_names_none_is_guessed_from_nothing(self, put, granted, report, redis):
        put(granted(email="ada@gmail.com"))
        assert outcomes(report("redis", "--redis-url", redis.url)) == ["unknown_provider"]
        assert not MailCredentials.objects.exists()

    @pytest.mark.parametrize("nothing", [None, "", "null", "undefined"])
    def test_without_a_refresh_token_imports_nothing(self, nothing, put, granted, bring):
        put(granted(), refreshToken=nothing)
        assert outcomes(bring()) == ["no_refresh_token"]
        assert not MailCredentials.objects.exists()

    def test_without_one_is_no_trouble_once_the_mailbox_is_here(self, put, granted, bring):
        grant = granted()
        put(grant)
        bring()
        put(grant, refreshToken=None, tokenExpiry=int((timezone.now() + timedelta(hours=1)).timestamp() * 1000))
        assert outcomes(bring()) == ["here"]
        assert MailCredentials.objects.get().open_refresh_token().reveal() == grant.refresh_token

    @pytest.mark.parametrize(
        "nobody", ["999999", "07", "1e3", "65f1c0ffee65f1c0ffee65f1", "9" * 40, "x\N{SNOWMAN}"]
    )
    def test_of_nobody_here(self, nobody, put, granted, bring):
        put(granted(), owner=nobody)
        assert outcomes(bring()) == ["unknown_user"]

    def test_of_a_user_whose_key_is_spelt_otherwise(self, put, granted, bring, user):
        put(granted(), owner=f"0{user.pk}")
        put(granted(), owner=f" {user.pk}")
        assert outcomes(bring()) == ["unknown_user"] * 2

    def test_of_a_user_by_name(self, put, granted, bring, user):
        put(granted(), owner=user.username)
        assert outcomes(bring("--user-field", "username")) == ["imported"]
        put(granted(), owner=user.username.upper(), account="other")
        assert sorted(outcomes(bring("--user-field", "username"))) == ["here", "unknown_user"]


class TestWhatIsNoEntry:
    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"\xff\xfe\x00\x80binary", "not_json"),
            (b"{", "not_json"),
            (b'["a-token-in-the-open"]', "not_an_object"),
            (b"[" * 100_000, "too_deep"),
            (b'{"refreshToken": {"a": "token"}}', "refresh_token"),
            (b'{"refreshToken": "a\\r\\ntoken"}', "refresh_token"),
            (b'{"refreshToken": "token", "tokenExpiry": "soon"}', "expiry"),
            (b'{"refreshToken": "token", "tokenExpiry": 1e300}', "expiry"),
            (b'{"refreshToken": "token", "tokenExpiry": "0001-01-01T00:00:00Z"}', "expiry"),
            (b'{"refreshToken": "token", "tokenExpiry": "3000-01-01T00:00:00Z"}', "expiry"),
            (b'{"refreshToken": "token", "tokenExpiry": [1]}', "expiry"),
            (b'{"refreshToken": "token", "useOAuth": "perhaps"}', "use_oauth"),
            (b'{"refreshToken": "' + b"x" * 600_000 + b'"}', "too_large"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_is_told_by_its_key_and_a_code(self, raw, reason, put, bring, run, redis):
        key = put(raw=raw)
        [result] = bring()
        assert (result["outcome"], result["reason"], result["where"]) == ("unreadable", reason, key)
        code, text = run("import", "redis", "--redis-url", redis.url, "--provider", "microsoft")
        assert code == 1
        assert f"{key}: unreadable, {reason}" in text
        assert "token-in-the-open" not in text
        assert not MailCredentials.objects.exists()

    def test_nor_is_a_key_of_another_kind(self, redis, bring, user):
        redis.hset(f"email:credentials:{user.pk}:hash", "refreshToken", "token")
        redis.set("email:credentials:alone", "{}")
        redis.set(b"email:credentials:\xff:\x1b[2J", "{}")
        results = {result["where"]: result["reason"] for result in bring()}
        assert results == {
            f"email:credentials:{user.pk}:hash": "wrong_type",
            "email:credentials:alone": "key",
            "email:credentials:\\\\xff:\\x1b[2J": "key",
        }

    def test_others_keys_are_not_looked_at(self, redis, bring):
        redis.set("email:credentialsXX", "{}")
        redis.set("session:1", "{}")
        assert bring() == []

    def test_the_prefix_is_no_pattern(self, redis, bring):
        redis.set("email:credentials:1:2", "{}")
        assert bring("--prefix", "email:*:") == []


class TestAgain:
    """Until the switch the import is run as often as one likes."""

    def test_changes_nothing(self, put, granted, bring):
        put(granted())
        put(granted(minutes_ago=300), account="old")
        put(granted(), tokenExpiry=None, account="ageless")
        assert outcomes(bring()) == ["imported"] * 3
        before = list(MailCredentials.objects.order_by("pk").values())
        assert outcomes(bring()) == ["here"] * 3
        assert list(MailCredentials.objects.order_by("pk").values()) == before
        assert CredentialEvent.objects.count() == 3

    def test_brings_what_the_old_application_has_refreshed(self, put, granted, bring):
        put(granted(email="ada@example.com", minutes_ago=50))
        bring()
        newer = granted(email="ada@example.com", minutes_ago=1)
        put(newer)
        assert outcomes(bring()) == ["updated"]
        row = MailCredentials.objects.get()
        assert row.open_refresh_token().reveal() == newer.refresh_token
        assert row.get_access_token().reveal() == newer.access_token
        assert row.generation == 2
        assert outcomes(bring()) == ["here"]

    def test_brings_nothing_older(self, put, granted, bring):
        grant = granted(minutes_ago=1)
        put(grant)
        bring()
        put(granted(email=grant.email, minutes_ago=300))
        assert outcomes(bring()) == ["here"]
        assert MailCredentials.objects.get().open_refresh_token().reveal() == grant.refresh_token

    def test_leaves_alone_what_was_refreshed_here(self, put, granted, bring):
        grant = granted(minutes_ago=50)
        put(grant)
        bring()
        row = MailCredentials.objects.get()
        row.refresh_now()
        ours = MailCredentials.objects.get().open_refresh_token()
        put(granted(email=grant.email, minutes_ago=-5))
        assert outcomes(bring()) == ["here"]
        assert MailCredentials.objects.get().open_refresh_token() == ours

    def test_mends_a_mailbox_whose_grant_has_ended_here(self, put, granted, bring, provider):
        grant = granted(minutes_ago=50)
        put(grant)
        bring()
        put(granted(email=grant.email, minutes_ago=1))
        now = timezone.now()
        # It has a refresh token of ours; the source says when its access token ends, and that may live for a day.
        MailCredentials.objects.update(status=Status.NEEDS_REAUTH, last_refreshed_at=now - timedelta(hours=20))
        assert outcomes(bring()) == ["here"]
        MailCredentials.objects.update(last_refreshed_at=now - timedelta(hours=26))
        assert outcomes(bring()) == ["updated"]
        row = MailCredentials.objects.get()
        assert row.status == Status.CONNECTED
        assert provider.is_valid_access_token(row.refresh_now().reveal())

    def test_does_not_bring_back_what_was_disconnected_here(self, put, granted, bring):
        grant = granted(minutes_ago=50)
        put(grant)
        bring()
        MailCredentials.objects.update(status=Status.DISCONNECTED, refresh_token=None, access_token=None)
        put(granted(email=grant.email, minutes_ago=1))
        assert outcomes(bring()) == ["disconnected"]
        assert MailCredentials.objects.get().refresh_token is None

    def test_waits_for_who_refreshes_at_this_moment(self, put, granted, bring):
        grant = granted(minutes_ago=50)
        put(grant)
        bring()
        MailCredentials.objects.update(lease_owner="a worker")
        put(granted(email=grant.email, minutes_ago=1))
        [result] = bring()
        assert (result["outcome"], result["reason"]) == ("here", "being refreshed")


class TestManyKeys:
    @pytest.fixture
    def many(self, redis, user):
        def write(count, refresh_token="refresh"):
            ends = int((timezone.now() + timedelta(minutes=50)).timestamp() * 1000)
            pipeline = redis.pipeline()
            for number in range(count):
                value = {
                    "email": f"many{number}@example.com",
                    "accessToken": f"access-{number}",
                    "refreshToken": f"{refresh_token}-{number}",
                    "tokenExpiry": ends,
                    "useOAuth": True,
                }
                pipeline.set(f"email:credentials:{user.pk}:{number}", json.dumps(value))
            pipeline.execute()

        return write

    def test_all_arrive_once_by_few_statements(self, many, bring, provider, django_assert_max_num_queries):
        many(2000)
        with django_assert_max_num_queries(300):  # SQLite takes some twenty rows in one statement
            assert outcomes(bring()) == ["imported"] * 2000
        assert MailCredentials.objects.count() == CredentialEvent.objects.count() == 2000
        row = MailCredentials.objects.get(email="many1234@example.com")
        assert row.get_access_token().reveal() == "access-1234"
        with django_assert_max_num_queries(50):
            assert outcomes(bring()) == ["here"] * 2000

    def test_newer_tokens_of_all_come_by_few_statements(
        self, many, bring, provider, django_assert_max_num_queries
    ):
        if connection.vendor != "postgresql":
            pytest.skip("elsewhere each row is changed by a statement of its own")
        many(1000)
        bring()
        many(1000, "rotated")
        with django_assert_max_num_queries(40):
            assert outcomes(bring()) == ["updated"] * 1000
        assert set(MailCredentials.objects.values_list("generation", flat=True)) == {2}
        assert CredentialEvent.objects.count() == 2000

    def test_a_dry_run_writes_nothing(self, many, run, provider, redis):
        many(600)
        code, text = run("import", "redis", "--redis-url", redis.url, "--provider", "microsoft", "--dry-run")
        assert (code, text.split()) == (0, ["would", "be", "entries", "imported", "600"])
        assert not MailCredentials.objects.exists()

    def test_one_that_the_database_refuses_keeps_back_no_other(self, many, bring, provider, monkeypatch, user):
        create_many = importing.create_many

        def strict(transitions, rows, *args, **kwargs):
            if any(row.email == "many7@example.com" for row in rows):
                raise DataError("what a database says of a value, with the value: refresh-7")
            return create_many(transitions, rows, *args, **kwargs)

        monkeypatch.setattr(importing, "create_many", strict)
        many(30)
        results = bring()
        assert outcomes(results).count("imported") == 29
        [refused] = [result for result in results if result["outcome"] == "refused"]
        assert refused["reason"] == "DataError"
        assert (refused["user"], refused["email"]) == (str(user.pk), "many7@example.com")
        assert "refresh-7" not in json.dumps(refused)

    @pytest.mark.parametrize("error", [ProgrammingError, InternalError, OperationalError])
    def test_a_database_that_fails_ends_the_run(self, error, many, run, redis, provider, monkeypatch):
        """Such as one that has become read-only, or was not migrated: no entry is to blame."""
        asked = []

        def fail(*_args, **_kwargs):
            asked.append(error)
            raise error("what a database says")

        monkeypatch.setattr(importing, "create_many", fail)
        monkeypatch.setattr(engine, "SAVE_PAUSES", ())
        many(30)
        with pytest.raises(error):
            run("import", "redis", "--redis-url", redis.url, "--provider", "microsoft")
        assert len(asked) == 1


class TestRedisItself:
    def test_may_not_be_read(self, redis, run, provider, user):
        redis.set(f"email:credentials:{user.pk}:1", "{}")
        redis.execute_command("ACL", "SETUSER", "importer", "on", ">of-a-test", "~*", "+@all", "-getrange")
        url = redis.url.replace("://", "://importer:of-a-test@")
        code, text = run("import", "redis", "--redis-url", url, "--provider", "microsoft")
        redis.execute_command("ACL", "DELUSER", "importer")
        assert code == 1
        assert "Redis" in text
        assert "wrong_type" not in text

    def test_must_be_named(self, run, provider, monkeypatch):
        monkeypatch.delenv("MAIL_OAUTH_IMPORT_REDIS_URL", raising=False)
        code, text = run("import", "redis", "--provider", "microsoft")
        assert code == 1
        assert "MAIL_OAUTH_IMPORT_REDIS_URL" in text

    def test_may_be_named_by_the_environment(self, put, granted, report, redis, monkeypatch):
        put(granted())
        monkeypatch.setenv("MAIL_OAUTH_IMPORT_REDIS_URL", redis.url)
        assert outcomes(report("redis", "--provider", "microsoft")) == ["imported"]

    @pytest.mark.parametrize(
        "url", ["redis://:a-password-in-the-open@127.0.0.1:1/0", "http://:a-password-in-the-open@x"]
    )
    def test_that_cannot_be_reached_is_told_without_its_password(self, url, run, provider):
        code, text = run("import", "redis", "--redis-url", url, "--provider", "microsoft")
        assert code == 1
        assert "Redis" in text
        assert "a-password" not in text

    def test_is_asked_for_no_key_of_others_while_it_serves_them(self, put, granted, bring, redis):
        """SCAN and GETRANGE only: a KEYS over millions would stop it."""
        put(granted())
        redis.config_resetstat()
        bring()
        used = {name.removeprefix("cmdstat_").partition("|")[0] for name in redis.info("commandstats")}
        assert used <= {
            "scan",
            "getrange",
            "dbsize",
            "info",
            "client",
            "hello",
            "select",
            "config",
            "ping",
            "command",
            "auth",
        }
        assert {"scan", "getrange"} <= used


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    @pytest.mark.usefixtures("separate_connections")
    def test_a_user_who_connects_and_an_import_make_one_row(self, put, granted, run, redis, browser_of, user):
        """Whichever comes first: the other one finds it."""
        for number in range(6):
            email = f"same{number}@example.com"
            put(granted(email=email), account=f"same{number}")
            surfer = browser_of(user)
            url = surfer.start()
            tasks = [
                lambda: run("import", "redis", "--redis-url", redis.url, "--provider", "microsoft"),
                lambda surfer=surfer, url=url, email=email: surfer.follow(surfer.consent(url, email)),
            ]
            together(2, lambda tasks=tasks: tasks.pop()())
            assert MailCredentials.objects.filter(email=email).count() == 1
