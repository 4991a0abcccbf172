"""Tokens that were rotated and lost: at the save, in a race, behind a lock. As peers recorded it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection
from django.utils import timezone

from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh import engine
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.engine import refresh
from mail_oauth.testing.configuring import provider_settings
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.provider import FakeProvider
from tests.chaos.rig import Rig
from tests.concurrency import together
from tests.losses.passing import pass_time, sweep
from tests.mailboxes import stored

DAY = timedelta(days=1)


def claimed(mailbox: MailCredentials) -> MailCredentials:
    row = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation, force=True)
    assert row is not None
    return row


class Calendar:
    """A provider's clock that is turned by hand."""

    now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def microsoft(calendar, settings, monkeypatch) -> Iterator[FakeProvider]:
    """Microsoft's rule: each refresh brings a new refresh token, and one that it replaced lives on for 90 days."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with FakeProvider(clock=calendar, detect_reuse=False, reuse_grace_seconds=90 * 86400) as provider:
        settings.MAIL_OAUTH = provider_settings(provider)
        yield provider


@pytest.mark.django_db
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda row: row.get_access_token(), id="odoo-109213: a caller"),
        pytest.param(lambda row: sweep(), id="zammad-3411: the scheduler"),
        pytest.param(
            lambda row: MailCredentials.objects.get_access_token(row.pk), id="paperless-ngx-11341: a task"
        ),
        pytest.param(lambda row: row.refresh_now(), id="osTicket-6455: by hand"),
    ],
)
def test_a_rotated_token_is_saved_and_the_mailbox_lives_beyond_day_90(
    microsoft: FakeProvider, calendar: Calendar, connect_at, ask: Callable[[MailCredentials], object]
):
    """odoo#109213, zammad#3411, paperless-ngx#11341, osTicket#6455: the new refresh token was thrown away."""
    mailbox = connect_at(microsoft)
    first = mailbox.open_refresh_token().reveal()
    for month in range(1, 6):
        calendar.now += 30 * 86400
        pass_time(30 * DAY)
        ask(mailbox)
        assert len(microsoft.token_calls("refresh_token", status=200)) == month
    row = stored(mailbox)
    assert row.status == Status.CONNECTED
    assert row.open_refresh_token().reveal() == microsoft.newest_refresh_token(mailbox.email)
    assert not microsoft.is_current_refresh_token(first), "the one of the first day would have been refused"


@pytest.fixture
def connect_at(connect, settings) -> Callable[[FakeProvider], MailCredentials]:
    """Connect a mailbox at a provider of the test's own."""

    def make(provider: FakeProvider) -> MailCredentials:
        from mail_oauth.managers.columns import token_changes
        from mail_oauth.refresh.replies import parse_tokens

        row = connect()
        reply = provider.grant(row.email, scope=row.requested_scopes)
        MailCredentials.objects.filter(pk=row.pk).update(**token_changes(row, parse_tokens(reply)))
        settings.MAIL_OAUTH = provider_settings(provider)
        cache.clear()
        return stored(row)

    return make


@pytest.mark.worker
def test_n8n_12742_two_hosts_that_need_one_single_use_token_spend_it_once(hosts: Rig):
    """n8n#12742: main and worker each refreshed with the same single-use token; the second killed the grant."""
    row = hosts.mailbox(expired=True)
    with hosts.provider.fault(Fault.slow(0.3)), hosts.nursery() as nursery:
        at = time.time() + 0.5
        for _ in range(2):
            nursery.fork("ask_once", pks=[str(row.pk)], threads=2, at=at)
        nursery.wait()
        assert len({answer.token for answer in nursery.answers()}) == 1
    assert hosts.posts(row.email) == 1
    after = hosts.rows.get(pk=row.pk)
    assert hosts.provider.is_current_refresh_token(after.open_refresh_token().reveal())


@pytest.mark.worker
def test_python_o365_350_two_hosts_that_insist_never_send_a_spent_token(hosts: Rig):
    """python-o365#350: several processes, one token store; a forced refresh must send what is stored *now*."""
    row = hosts.mailbox(expired=True)
    with hosts.provider.fault(Fault.slow(0.2)), hosts.nursery() as nursery:
        for _ in range(3):
            nursery.fork("refresh_each", pks=[str(row.pk)])
        nursery.wait()
        nursery.answers()
    calls = hosts.provider.token_calls("refresh_token", email=row.email)
    assert {call.status for call in calls} == {200}
    after = hosts.rows.get(pk=row.pk)
    assert after.status == Status.CONNECTED
    assert hosts.provider.is_current_refresh_token(after.open_refresh_token().reveal())


@pytest.mark.django_db
def test_xagent_1454_the_loser_of_a_race_leaves_the_winners_row_alone(mailbox, provider):
    """xagent#1454: who got invalid_grant for the token that another had just spent deleted the row."""
    provider.configure(detect_reuse=False)
    loser = claimed(mailbox)
    MailCredentials.objects.update(refresh_at=timezone.now() - DAY)
    winner = refresh(claimed(mailbox), Transitions(MailCredentials.objects))
    lost = refresh(loser, Transitions(MailCredentials.objects))
    assert lost.verdict.action is Action.REAUTH, "the provider did refuse the loser"
    row = stored(mailbox)
    assert (row.status, row.refresh_failures) == (Status.CONNECTED, 0)
    assert row.open_access_token() == winner.token
    assert provider.is_current_refresh_token(row.open_refresh_token().reveal())


@contextmanager
def saves_fail(error: type[BaseException]) -> Iterator[None]:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and "last_refresh_error" in sql:
            raise error("at the save")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError, DataError, IntegrityError, MemoryError])
def test_executor_1377_a_write_that_fails_after_the_exchange_loses_no_grant(
    locmem_cache, mailbox, provider, posts, monkeypatch, error
):
    """executor#1377: the provider had rotated, the write failed, and the old token was sent again."""
    monkeypatch.setattr(engine, "SAVE_PAUSES", (0,))
    with saves_fail(error), pytest.raises(error):
        mailbox.get_access_token()
    MailCredentials.objects.update(refresh_at=timezone.now() - DAY)  # the lease of who failed ends
    assert mailbox.get_access_token() == stored(mailbox).open_access_token()
    assert posts(mailbox) == 1
    assert provider.is_current_refresh_token(stored(mailbox).open_refresh_token().reveal())


@pytest.mark.django_db
@pytest.mark.parametrize("ask", ["get_access_token", "refresh_now"])
def test_duende_1286_a_stale_copy_in_hand_is_never_what_is_sent(mailbox, provider, posts, ask):
    """Duende Support#1286: who had waited for the lock refreshed with the token that it had read before."""
    stale = stored(mailbox)
    fresh = mailbox.refresh_now()
    cache.clear()
    token = getattr(stale, ask)()
    assert (token == fresh) is (ask == "get_access_token")
    assert posts(mailbox) == 1 + (ask == "refresh_now")
    assert provider.is_current_refresh_token(stored(mailbox).open_refresh_token().reveal())


def test_duende_1286_who_waited_takes_the_winners_token(separate_connections, mailbox, provider, posts):
    """The same with threads: all have read the old token before one of them gets the lease."""
    copies = [stored(mailbox) for _ in range(6)]
    with provider.fault(Fault.slow(0.3)):
        tokens = together(6, lambda: copies.pop().get_access_token().reveal())
    assert len(set(tokens)) == 1
    assert posts(mailbox) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("fault", [Fault.slow(5), Fault.drip(0.1), Fault.hang(5)], ids=lambda fault: fault.name)
def test_litellm_31493_the_slowest_call_ends_before_its_lease(mailbox, provider, settings, fault):
    """litellm#31493: the lock ended while the provider was still answering, and a second caller refreshed."""
    patience = {"CONNECT_TIMEOUT": 0.2, "READ_TIMEOUT": 0.3, "TOTAL_TIMEOUT": 0.3, "LEASE_SECONDS": 2}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, **patience}
    row = claimed(mailbox)
    lease_ends = row.refresh_at
    provider.fail_next(1, fault)
    outcome = refresh(row, Transitions(MailCredentials.objects))
    assert timezone.now() < lease_ends
    assert (outcome.verdict.action, outcome.verdict.outcome_unknown) == (Action.RETRY, True)
    assert stored(mailbox).lease_owner == ""


@pytest.mark.parametrize("slowest", [60, 90])
def test_litellm_31493_a_lease_shorter_than_a_call_is_refused_by_a_check(settings, slowest):
    settings.MAIL_OAUTH = {"LEASE_SECONDS": 60, "TOTAL_TIMEOUT": slowest, "WAIT_TIMEOUT": 200}
    assert any("LEASE_SECONDS" in (found.hint or "") for found in run_checks(tags=["mail_oauth"]))


@pytest.mark.django_db
def test_a_dead_grant_is_told_at_once_and_found_in_a_list(mailbox, provider, heard):
    """osTicket#6455: nobody was told for ten days."""
    provider.revoke(mailbox.email)
    with pytest.raises(MailboxError):
        mailbox.get_access_token()
    assert heard == [("mailbox_status_changed", "needs_reauth")]
    assert MailCredentials.objects.needing_attention().get() == mailbox
