"""A configuration mistake is found by `manage.py check`, with the line to write."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks

GOOD = {"CLIENT_ID": "id", "CLIENT_SECRET": "secret"}


@pytest.fixture
def found(settings):
    def run(*, deploy: bool = False, **changes):
        settings.MAIL_OAUTH = changes
        return {
            message.id: message for message in run_checks(tags=["mail_oauth"], include_deployment_checks=deploy)
        }

    return run


def test_good_settings_say_nothing(found):
    assert found(PROVIDERS={"microsoft": GOOD, "google": GOOD, "yahoo": GOOD}) == {}


@pytest.mark.parametrize(
    ("changes", "identity", "words"),
    [
        ({"REFRESH_MARGN": 1}, "E001", "REFRESH_MARGIN"),
        ({"REFRESH_MARGIN": "300"}, "E001", "number"),
        ({"PRIVATE_HOSTS": "localhost"}, "E001", "list"),
        ({"PROVIDERS": {"microsoft": {}}}, "E002", "CLIENT_ID"),
        ({"PROVIDERS": {"microsoft": {**GOOD, "TENNANT": "x"}}}, "E002", "TENNANT"),
        ({"PROVIDERS": {"mycorp": GOOD}}, "E002", "CLASS"),
        ({"PROVIDERS": {"microsoft": {**GOOD, "TENANT": "../evil"}}}, "E002", "TENANT"),
        ({"PROVIDERS": {"my mail": {**GOOD, "CLASS": "google"}}}, "E002", "alias"),
        ({"LEASE_SECONDS": 20}, "E004", "LEASE_SECONDS"),
        ({"LEASE_SECONDS": 35}, "E004", "READ_TIMEOUT"),
        ({"WAIT_TIMEOUT": 5}, "E004", "WAIT_TIMEOUT"),
        (
            {"LEASE_SECONDS": 38, "PROVIDERS": {"google": {**GOOD, "CALLS_PER_SECOND": 9}}},
            "E004",
            "+ 5 s for a turn",
        ),
        (
            {"WAIT_TIMEOUT": 24, "PROVIDERS": {"google": {**GOOD, "CALLS_PER_SECOND": 9}}},
            "E004",
            "+ 5 s for a turn",
        ),
        ({"PROVIDERS": {"google": {**GOOD, "CALLS_PER_SECOND": 0}}}, "E002", "CALLS_PER_SECOND"),
        ({"CACHE": "nowhere"}, "E005", "nowhere"),
        ({"SHARED_MAILBOXES": "refused"}, "E001", "= 'refuse'"),
        ({"SHARED_MAILBOXES": True}, "E001", "string"),
        ({"BASE_URL": "site.example"}, "E017", "https://your.site"),
        ({"BASE_URL": "//site.example"}, "E017", "https://your.site"),
        ({"BASE_URL": "https://site.example/app"}, "E017", "https://your.site"),
        ({"BASE_URL": "https://site.example?x"}, "E017", "https://your.site"),
        ({"BASE_URL": "https://user@site.example"}, "E017", "https://your.site"),
        ({"BASE_URL": "https://site.example:x"}, "E017", "https://your.site"),
        ({"BASE_URL": "https://["}, "E017", "https://your.site"),
        ({"BASE_URL": "javascript:alert(1)"}, "E017", "https://your.site"),
        ({"PROVIDERS": {"google": {**GOOD, "TOKEN_URL": "http://evil.example/"}}}, "E006", "https"),
        ({"PROVIDERS": {"google": {**GOOD, "TOKEN_URL": "https://169.254.169.254/"}}}, "E006", "PRIVATE_HOSTS"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(found, changes, identity, words):
    message = found(**changes)[f"mail_oauth.{identity}"]
    assert words in f"{message.msg} {message.hint}"


def test_a_malformed_key(found, settings):
    settings.FERNET_USE_HKDF = False
    settings.FERNET_KEYS = ["too short"]
    assert "FERNET_KEYS" in found()["mail_oauth.E003"].msg


class TestDeployment:
    def test_any_host_needs_a_base_url(self, found, settings):
        settings.ALLOWED_HOSTS = ["*"]
        assert "BASE_URL" in found(deploy=True)["mail_oauth.E007"].hint
        assert "mail_oauth.E007" not in found(deploy=True, BASE_URL="https://site.example")

    def test_a_way_back_in_clear(self, found):
        assert "https" in found(deploy=True, BASE_URL="http://site.example")["mail_oauth.W011"].hint
        good = found(deploy=True, BASE_URL="https://site.example:8443/")
        assert not {"mail_oauth.W011", "mail_oauth.E017"} & set(good)

    @pytest.mark.parametrize(
        ("value", "is_wrong"), [("Strict", True), ("strict", True), ("Lax", False), (False, False)]
    )
    def test_a_session_that_does_not_come_back(self, found, settings, value, is_wrong):
        settings.SESSION_COOKIE_SAMESITE = value
        assert ("mail_oauth.E018" in found(deploy=True)) == is_wrong

    def test_development_left_on(self, found, settings, monkeypatch):
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
        del settings.FERNET_KEYS
        assert {"mail_oauth.E008", "mail_oauth.W001", "mail_oauth.W002"} <= set(found(deploy=True))

    def test_a_private_cache_cannot_park(self, found, settings):
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        assert "cannot be parked" in found(deploy=True)["mail_oauth.W003"].msg

    @pytest.mark.parametrize(
        ("backend", "identity"),
        [
            ("django.core.cache.backends.locmem.LocMemCache", "mail_oauth.W003"),
            ("django.core.cache.backends.db.DatabaseCache", "mail_oauth.W004"),
            ("django_redis.cache.RedisCache", None),
        ],
    )
    def test_the_cache(self, found, settings, backend, identity):
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1"}}
        ids = set(found(deploy=True))
        assert ids & {"mail_oauth.W003", "mail_oauth.W004"} == ({identity} if identity else set())
