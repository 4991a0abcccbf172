"""Throttling and faults of the line, all the way into the row (32 to 37 of `tests/losses/faults.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from django.utils import timezone

from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from tests.mailboxes import stored
from tests.transport.certificates import Authority
from tests.wire import Wire

pytestmark = pytest.mark.django_db


def date_in(seconds: float) -> Callable[[], str]:
    return lambda: format_datetime(timezone.now() + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        pytest.param(lambda: "900", 890, 906, id="seconds"),
        pytest.param(date_in(900), 890, 906, id="a date"),
        pytest.param(date_in(-900), 10, 36, id="a date in the past"),
        pytest.param(lambda: "soon", 10, 36, id="garbage"),
        pytest.param(lambda: "-5", 10, 36, id="negative"),
        pytest.param(lambda: str(10 * 365 * 86400), 6 * 3600 - 10, 6 * 3600 + 6, id="ten years"),
        pytest.param(date_in(10 * 365 * 86400), 6 * 3600 - 10, 6 * 3600 + 6, id="a date in ten years"),
    ],
)
def test_32_retry_after_in_every_form_is_honoured_within_bounds(connect, provider, retry_after, least, most):
    mailbox, elsewhere = connect(seconds_left=-10), connect("google", seconds_left=-10)
    with provider.fault(Fault.rate_limited(retry_after()), personality="microsoft"):
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert elsewhere.get_access_token(), "another provider is not concerned"
    row = stored(mailbox)
    assert least <= (row.refresh_at - timezone.now()).total_seconds() <= most
    assert row.status == Status.CONNECTED


def test_32_mailboxes_that_were_throttled_together_come_back_apart(connect, provider):
    mailboxes = [connect(seconds_left=-10) for _ in range(8)]
    with provider.fault(Fault.rate_limited("900")):
        for mailbox in mailboxes:
            with pytest.raises(ProviderUnavailable):
                mailbox.get_access_token()
    pauses = [(row.refresh_at - row.refresh_at.replace(microsecond=0)) for row in MailCredentials.objects.all()]
    assert len(set(pauses)) == 8
    moments = sorted(MailCredentials.objects.values_list("refresh_at", flat=True))
    assert moments[-1] - moments[0] > timedelta(seconds=1)


@pytest.mark.parametrize(
    "fault",
    [Fault.hang(5), Fault.drip(0.1, part="headers"), Fault.drip(0.1, part="body")],
    ids=["accepted, then silent", "headers dribble", "body dribbles"],
)
def test_34_a_provider_that_dawdles_costs_the_total_deadline_and_the_lease_is_released(
    connect, provider, settings, fault
):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "TOTAL_TIMEOUT": 0.5}
    mailbox = connect("google", seconds_left=-10)
    provider.fail_next(1, fault)
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable, match="timeout"):
        mailbox.get_access_token()
    assert time.monotonic() - begun < 2
    row = stored(mailbox)
    assert (row.lease_owner, row.outcome_unknown, row.status) == ("", True, Status.CONNECTED)
    assert mailbox.refresh_now()


def test_35_a_redirect_is_the_operators_and_nothing_follows_it(connect, provider):
    mailbox = connect(seconds_left=-10)
    with Wire() as elsewhere:
        provider.fail_next(1, Fault.redirect(elsewhere.url, status=307))
        with pytest.raises(ProviderUnavailable, match="redirect"):
            mailbox.get_access_token()
        assert elsewhere.requests == []
    assert stored(mailbox).status == Status.CONNECTED


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("certificates")))


@pytest.mark.parametrize(
    "how",
    [{"self_signed": True}, {"host": "other.example"}, {"days": -1}],
    ids=["self-signed", "wrong host", "expired"],
)
def test_36_a_bad_certificate_gets_no_token_and_costs_no_grant(connect, settings, authority, how):
    mailbox, right = connect("google", seconds_left=-10), settings.MAIL_OAUTH
    with Wire(authority.context(**how)) as impostor:
        assert impostor.url.startswith("https:")
        there = {**right["PROVIDERS"]["google"], "TOKEN_URL": impostor.url}
        trust = {"CA_BUNDLE": str(authority.bundle), "PROVIDERS": {"google": there}}
        settings.MAIL_OAUTH = {**right, **trust}
        with pytest.raises(ProviderUnavailable, match="tls"):
            mailbox.get_access_token()
        assert impostor.requests == []
    row = stored(mailbox)
    assert (row.status, row.outcome_unknown) == (Status.CONNECTED, False)
    settings.MAIL_OAUTH = right
    assert mailbox.refresh_now()


@pytest.mark.parametrize(
    ("url", "reason"),
    [("https://no-such-host.invalid/token", "dns"), ("https://127.0.0.1:1/token", "refused")],
    ids=["dns", "refused"],
)
def test_37_a_request_that_never_left_is_known_to_have_changed_nothing(connect, settings, url, reason):
    mailbox, right = connect("google", seconds_left=-10), settings.MAIL_OAUTH
    there = {**right["PROVIDERS"]["google"], "TOKEN_URL": url}
    settings.MAIL_OAUTH = {**right, "PROVIDERS": {"google": there}}
    with pytest.raises(ProviderUnavailable, match=reason):
        mailbox.get_access_token()
    row = stored(mailbox)
    assert (row.last_refresh_error, row.outcome_unknown, row.lease_owner) == (reason, False, "")
    settings.MAIL_OAUTH = right
    assert mailbox.refresh_now()


def test_37_a_body_that_breaks_off_leaves_the_outcome_unknown(connect, provider):
    mailbox = connect("keycloak", seconds_left=-10)
    provider.fail_next(1, Fault.cut_body())
    with pytest.raises(ProviderUnavailable, match="body_lost"):
        mailbox.get_access_token()
    assert stored(mailbox).outcome_unknown
