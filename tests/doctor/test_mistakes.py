"""No mistake in the settings keeps the doctor from its work: each is a finding that says what to write."""

from __future__ import annotations

import pytest
from celery import Celery
from django.db import connections
from django.urls import clear_url_caches

from tests.checks.conftest import GOOGLE

REDIS = "django_redis.cache.RedisCache"


@pytest.fixture(autouse=True)
def nothing_breaks(caplog):
    """A probe that nobody has thought of breaking writes a traceback."""
    yield
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.django_db
class TestACache:
    def test_that_is_not_there(self, doctor, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CACHE": "nowhere"}
        examined = doctor()
        assert "'nowhere', which CACHES does not have" in examined.of("mail_oauth.E005")["what"]
        self.assert_it_is_told(examined, "nowhere", "InvalidCacheBackendError")

    @pytest.mark.parametrize(
        ("options", "kind"),
        [
            ({"BACKEND": "no_such.cache.Backend"}, "InvalidCacheBackendError"),
            ({"BACKEND": REDIS, "OPTIONS": {"CLIENT_CLASS": "no_such.Client"}, "LOCATION": "redis://x"}, "ModuleNotFound"),
            ({"BACKEND": REDIS}, "ImproperlyConfigured"),
        ],
    )  # fmt: skip
    def test_that_cannot_be_made(self, doctor, settings, options, kind):
        settings.CACHES = {**settings.CACHES, "broken": options}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CACHE": "broken"}
        self.assert_it_is_told(doctor(), "broken", kind)

    def assert_it_is_told(self, examined, alias, kind):
        found = examined.of("cache.roundtrip")
        assert (found["level"], kind in found["what"]) == ("error", True)
        assert f'CACHES["{alias}"]' in found["hint"]
        assert examined.of("database.reachable")["level"] == "ok"


class TestADatabase:
    def test_that_is_not_there(self, doctor, settings):
        settings.DATABASE_ROUTERS = ["tests.routers.Nowhere"]
        examined = doctor()
        assert "'nowhere', which DATABASES does not have" in examined.of("mail_oauth.E028")["what"]
        self.assert_it_is_told(examined, "nowhere", "ConnectionDoesNotExist")

    @pytest.mark.parametrize("engine", ["no_such.backend", "django.db.backends.dummy"])
    def test_that_cannot_be_made(self, doctor, aside, engine):
        aside({"ENGINE": engine})
        self.assert_it_is_told(doctor(), "aside", "ImproperlyConfigured")
        connections["aside"].close() if engine.endswith("dummy") else connections.settings.pop("aside")

    def test_to_which_no_router_leads(self, doctor, settings):
        settings.DATABASE_ROUTERS = ["tests.routers.Broken"]
        examined = doctor()
        found = examined.of("database.reachable")
        assert (found["level"], "ModuleNotFoundError" in found["what"]) == ("error", True)
        assert "DATABASE_ROUTERS" in found["hint"]
        assert examined.of("cache.roundtrip")["level"] == "ok"

    def assert_it_is_told(self, examined, alias, kind):
        found = examined.of("database.reachable")
        assert (found["level"], kind in found["what"]) == ("error", True)
        assert f'DATABASES["{alias}"]' in found["hint"]
        assert examined.of("database.writable")["level"] == "skipped"


@pytest.mark.django_db
class TestModules:
    def test_of_urls_that_are_not_there(self, doctor, settings):
        settings.ROOT_URLCONF = "nowhere.urls"
        clear_url_caches()
        examined = doctor()
        assert examined.of("system.checks")["level"] == "error"
        found = examined.of("celery.app")
        assert (found["level"], "import nowhere'" in found["hint"]) == ("error", True)
        assert examined.of("database.reachable")["level"] == "ok"

    @pytest.mark.parametrize("keys", ["no_such.module.keys", "tests.doctor.test_mistakes.REDIS"])
    def test_of_keys_that_cannot_be_had(self, doctor, settings, keys):
        del settings.FERNET_KEYS
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "KEYS": keys}
        examined = doctor()
        assert keys in examined.of("mail_oauth.E012")["what"]
        assert examined.of("cache.roundtrip")["level"] == "ok"

    @pytest.mark.parametrize(
        ("text", "words"), [(None, '"CLASS"'), ("def broken(", "SyntaxError"), ("{}[1]", "KeyError")]
    )
    def test_of_a_provider_that_cannot_be_imported(self, doctor, settings, tmp_path, monkeypatch, text, words):
        if text:
            (tmp_path / "our_providers.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        mine = {**GOOGLE, "CLASS": "our_providers.Mine"}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"mine": mine}}
        for arguments in ([], ["--live"]):
            found = doctor(*arguments).of("mail_oauth.E002")
            assert (found["level"], words in found["what"]) == ("error", True)


@pytest.mark.django_db
class TestCelerys:
    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ({"result_backend": "rpc://", "CELERY_ACCEPT_CONTENT": ["json"]}, "ImproperlyConfigured"),  # new and old names
            ("no_such.settings", "ModuleNotFoundError"),
        ],
    )  # fmt: skip
    def test_settings_that_it_refuses_as_late_as_it_reads_them(self, doctor, source, kind):
        app = Celery("site")
        app.config_from_object(source)
        examined = doctor()
        found = examined.of("celery.app")
        assert (found["level"], kind in found["hint"]) == ("error", True)
        assert "celery -A … report" in found["hint"]
        assert kind in examined.of("mail_oauth.W022")["what"]

    @pytest.mark.parametrize("url", ["no-such-transport://", "redis://127.0.0.1:port/0"])
    def test_broker_that_is_none(self, doctor, celery_app, url):
        celery_app.conf.broker_url = url
        found = doctor().of("celery.broker")
        assert (found["level"], "CELERY_BROKER_URL" in found["hint"]) == ("error", True)
