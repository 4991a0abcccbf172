"""What is measured reaches a site's own collector, under the names of the documentation and with few values."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from mail_oauth import metrics, tasks
from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials, ProviderHealth
from mail_oauth.testing.mailservers import MailServers
from tests.mailboxes import stored

api = pytest.importorskip("opentelemetry.metrics")
sdk = pytest.importorskip("opentelemetry.sdk.metrics")
export = pytest.importorskip("opentelemetry.sdk.metrics.export")

pytestmark = pytest.mark.django_db

Points = dict[frozenset[tuple[str, str]], Any]


@pytest.fixture(scope="session")
def reader() -> Any:
    """A collector in the process, as a site sets one up. The API takes one for the life of a process."""
    collector = export.InMemoryMetricReader()
    api.set_meter_provider(sdk.MeterProvider(metric_readers=[collector]))
    return collector


@pytest.fixture
def measured(reader) -> Callable[[metrics.Instrument], Points]:
    """What an instrument has measured since the test began: numbers by attributes; of a histogram how many values."""
    before = _collected(reader)

    def since(instrument: metrics.Instrument) -> Points:
        old, now = before.get(instrument.name, {}), _collected(reader).get(instrument.name, {})
        if "gauge" in instrument.kind:
            return now
        return {key: value - old.get(key, 0) for key, value in now.items() if value != old.get(key, 0)}

    return since


def _collected(reader: Any) -> dict[str, Points]:
    data = reader.get_metrics_data()
    found: dict[str, Points] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            assert scope.scope.name == metrics.METER
            for metric in scope.metrics:
                found[metric.name] = {
                    frozenset(point.attributes.items()): getattr(point, "value", None)
                    or getattr(point, "count", 0)
                    for point in metric.data.data_points
                }
    return found


def of(**attributes: str) -> frozenset[tuple[str, str]]:
    return frozenset(attributes.items())


def test_refreshes_and_the_calls_for_them(connect, provider, measured):
    connect().refresh_now()
    provider.fail_next()
    with pytest.raises(MailboxError):
        connect("google").refresh_now()
    granted, failed = of(provider="microsoft", outcome="granted"), of(provider="google", outcome="retry")
    assert measured(metrics.REFRESHES) == {granted: 1, failed: 1}
    assert measured(metrics.CALL_SECONDS) == {granted: 1, failed: 1}


def test_a_call_that_breaks_is_a_fault(connect, provider, settings, measured):
    row = connect("plain")
    options = {**settings.MAIL_OAUTH["PROVIDERS"]["plain"], "TOKEN_URL": "http://127.0.0.1:1/token"}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"plain": options}}
    with pytest.raises(MailboxError):
        row.refresh_now()
    assert measured(metrics.CALL_SECONDS) == {of(provider="plain", outcome="fault"): 1}


def test_where_tokens_come_from(connect, locmem_cache, measured):
    row = connect()
    row.get_access_token()
    row.get_access_token()
    old = connect(seconds_left=-5)
    old.get_access_token()
    assert measured(metrics.READS) == {of(source="row"): 1, of(source="cache"): 1, of(source="refresh"): 1}


def test_sweeps(connect, measured):
    connect(refresh_at=timezone.now() - timedelta(minutes=1))
    tasks.refresh_batch()
    assert measured(metrics.CLAIMS) == {of(provider="microsoft"): 1}
    assert measured(metrics.SWEPT) == {of(fate="refreshed"): 1}
    assert measured(metrics.SWEEP_SECONDS) == {of(ended="done"): 1}


def test_a_status_that_changes(connect, provider, measured):
    row = connect()
    provider.revoke(row.email)
    with pytest.raises(MailboxError):
        row.refresh_now()
    assert stored(row).status == Status.NEEDS_REAUTH
    changed = of(provider="microsoft", old_status="connected", new_status="needs_reauth")
    assert measured(metrics.STATUS_CHANGES) == {changed: 1}


def test_connecting(user, browser_of, measured):
    browser = browser_of(user)
    browser.connect("google")
    browser.follow(browser.consent(browser.start("google"), "ada@example.com", deny=True))
    assert measured(metrics.CONNECTS) == {
        of(provider="google", outcome="connected"): 1,
        of(provider="google", outcome="declined"): 1,
    }


def test_sign_ins_to_mail_servers(connect, provider, settings, measured):
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed")
    with MailServers(provider) as mail:
        settings.MAIL_OAUTH = mail.settings(settings.MAIL_OAUTH)
        row = connect()
        with row.imap() as client:
            client.noop()
        with pytest.raises(MailboxError), row.smtp(user="somebody.else@example.com"):
            pass
        ended = connect(status=Status.NEEDS_REAUTH, seconds_left=-5)
        with pytest.raises(MailboxError), ended.imap():
            pass
    found = {tuple(sorted(dict(key).items())) for key in measured(metrics.SIGN_INS)}
    ways = {(dict(each)["protocol"], dict(each)["outcome"]) for each in found}
    assert ways >= {("IMAP", "ok"), ("IMAP", "no_token")}
    assert len([outcome for protocol, outcome in ways if protocol == "SMTP" and outcome != "ok"]) == 1


def test_drift(connect, locmem_cache, measured):
    connect()
    tasks.reconcile_cache()
    assert measured(metrics.DRIFT) == {of(cause="absent"): 1}
    assert measured(metrics.RECONCILE_SECONDS) == {of(): 1}


def test_how_many_mailboxes_there_are(connect, measured):
    connect("keycloak", refresh_at=timezone.now() - timedelta(hours=1))
    connect("keycloak", status=Status.NEEDS_ADMIN)
    tasks.take_survey()
    found = measured(metrics.MAILBOXES)
    assert found[of(provider="keycloak", status="connected")] == 1
    assert found[of(provider="keycloak", status="needs_admin")] == 1
    assert measured(metrics.OVERDUE)[of(provider="keycloak")] == 1
    MailCredentials.objects.all().delete()
    tasks.take_survey()
    assert measured(metrics.MAILBOXES)[of(provider="keycloak", status="needs_admin")] == 0, (
        "a gauge keeps what it was set"
    )
    assert measured(metrics.OVERDUE)[of(provider="keycloak")] == 0


def test_lanes_that_are_held_as_far_as_a_process_has_met_them(connect, measured):
    assert measured(metrics.HELD_LANES) == {}
    until = timezone.now() + timedelta(minutes=5)
    for tenant in ("a", "b"):
        ProviderHealth.objects.create(
            provider="microsoft", tenant=tenant, trouble="outage", held=True, held_since=until, held_until=until
        )
    connect(refresh_at=timezone.now() - timedelta(minutes=1))
    tasks.refresh_batch()
    assert measured(metrics.HELD_LANES) == {of(provider="microsoft", trouble="outage"): 2}


def test_no_instrument_measures_what_it_does_not_say(connect, provider, measured, reader, user, browser_of):
    """No mailbox, address or organisation is an attribute: collectors keep one series for each value."""
    connect().refresh_now()
    browser_of(user).connect("google")
    tasks.refresh_batch(), tasks.reconcile_cache(), tasks.take_survey()
    named = {instrument.name: set(instrument.attributes) for instrument in metrics.INSTRUMENTS}
    collected = _collected(reader)
    assert len(collected) > 5
    for name, points in collected.items():
        for attributes in points:
            assert {key for key, _ in attributes} == named[name]
            for _, value in attributes:
                assert len(value) < 40
                assert "@" not in value
    for row in MailCredentials.objects.all():
        assert str(row.pk) not in str(collected)


def test_without_the_package_nothing_is_imported_and_everything_works():
    script = """
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "opentelemetry":
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Missing())
        import django
        django.setup()
        from django.core.management import call_command
        from mail_oauth import metrics
        call_command("migrate", verbosity=0)
        call_command("mail_oauth", "survey")
        metrics.REFRESHES.add(provider="google", outcome="granted")
        with metrics.CALL_SECONDS.timed({}):
            pass
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
        print("works")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("works\n"), done.stderr
