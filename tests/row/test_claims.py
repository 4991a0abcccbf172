"""One worker at a time holds a mailbox, by the database's clock; a dead worker's mailboxes fall due again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.managers.queryset import NOT_SWEPT
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.concurrency import together
from tests.sealing.blobs import overwrite

rows = MailCredentials.objects


def claim(mailbox: MailCredentials, **how: bool) -> MailCredentials | None:
    return rows.claim(mailbox.pk, generation=mailbox.generation, **how)


def in_seconds(seconds: float):
    return timezone.now() + timedelta(seconds=seconds)


@pytest.mark.django_db
class TestAClaim:
    def test_is_a_lease_whose_end_is_the_next_refresh(self, connect, settings):
        claimed = claim(connect())
        assert claimed.lease_owner
        left = claimed.refresh_at - timezone.now()
        assert timedelta(seconds=50) < left <= timedelta(seconds=61)

    def test_is_given_to_one_only(self, connect):
        mailbox = connect()
        assert claim(mailbox) is not None
        assert claim(mailbox) is None
        assert claim(mailbox, force=True) is None, "not even a person may break a lease"

    def test_goes_by_the_databases_clock(self, connect, monkeypatch):
        mailbox, really = connect(), timezone.now()
        monkeypatch.setattr(timezone, "now", lambda: really + timedelta(hours=5))
        assert abs(claim(mailbox).refresh_at - really) < timedelta(seconds=90)
        assert claim(mailbox) is None, "the lease has not ended because this host's clock is ahead"

    def test_of_a_dead_worker_ends_by_itself(self, connect):
        mailbox = connect()
        dead = claim(mailbox)
        rows.update(refresh_at=in_seconds(-1))
        successor = claim(mailbox)
        assert successor is not None
        assert successor.lease_owner != dead.lease_owner

    def test_is_refused_for_another_generation(self, connect):
        mailbox = connect()
        rows.update(generation=mailbox.generation + 1)
        assert claim(mailbox, force=True) is None

    @pytest.mark.parametrize(
        ("columns", "claimable"),
        [
            ({"status": Status.CONNECTED}, True),
            ({"status": Status.NEEDS_ADMIN}, True),
            ({"status": Status.UNREADABLE}, True),
            ({"status": Status.NEEDS_REAUTH}, False),
            ({"status": Status.DISCONNECTED}, False),
            ({"use_oauth": False}, False),
        ],
        ids=str,
    )
    def test_is_for_mailboxes_that_a_refresh_can_help(self, connect, columns, claimable):
        assert (claim(connect(**columns), force=True) is not None) is claimable

    def test_waits_until_the_pause_after_a_failure_is_over(self, connect):
        mailbox = connect(refresh_failures=1, refresh_at=in_seconds(600))
        assert claim(mailbox) is None
        rows.update(refresh_at=in_seconds(-1))
        assert claim(mailbox) is not None

    def test_that_is_forced_does_not_wait(self, connect):
        assert claim(connect(refresh_failures=1, refresh_at=in_seconds(600)), force=True) is not None


@pytest.mark.django_db
class TestTheSweepsClaim:
    def test_takes_the_longest_due_first_and_no_more_than_asked(self, connect):
        due = [connect(refresh_at=in_seconds(-age)) for age in (10, 30, 20)]
        connect(refresh_at=in_seconds(100))
        connect(refresh_at=None)
        first = rows.claim_due(2)
        assert [row.pk for row in rows.claim_due(2)] == [due[0].pk]
        assert {row.pk for row in first} == {due[1].pk, due[2].pk}
        assert rows.claim_due(2) == []

    def test_and_a_callers_claim_exclude_each_other(self, connect):
        mailbox = connect(refresh_at=in_seconds(-1))
        assert claim(mailbox) is not None
        assert rows.claim_due(10) == []
        other = connect(refresh_at=in_seconds(-1))
        assert [row.pk for row in rows.claim_due(10)] == [other.pk]
        assert claim(other) is None

    def test_brings_what_stands_in_the_row(self, connect):
        """As any other query does, but for what stays in the database."""
        mailbox = connect(refresh_at=in_seconds(-1), last_used_at=in_seconds(-0.5), grant_warned_at=timezone.now())
        [row] = rows.claim_due(1)
        assert row.get_deferred_fields() == NOT_SWEPT
        brought = {name: value for name, value in vars(row).items() if name != "_state"}
        assert brought == {name: getattr(rows.get(pk=mailbox.pk), name) for name in brought}
        assert {row.token_expiry.tzinfo, row.last_used_at.tzinfo} == {mailbox.token_expiry.tzinfo}
        assert (row._state.db, row._state.adding) == ("default", False)
        assert row.open_refresh_token() == mailbox.open_refresh_token()

    def test_brings_empty_columns_as_well(self, connect):
        connect(refresh_at=in_seconds(-1), refresh_token=None, token_expiry=None, tenant="")
        [row] = rows.claim_due(1)
        assert (row.refresh_token, row.token_expiry, row.last_used_at, row.tenant) == (None, None, None, "")

    def test_brings_times_as_the_site_has_them(self, connect, settings):
        mailbox = connect(refresh_at=in_seconds(-1))
        settings.USE_TZ = False
        settings.TIME_ZONE = "Asia/Tokyo"
        [row] = rows.claim_due(1)
        assert row.token_expiry == rows.get(pk=mailbox.pk).token_expiry
        assert row.token_expiry.tzinfo is None

    def test_takes_over_from_a_dead_worker(self, connect):
        connect(lease_owner="dead", refresh_at=in_seconds(-1))
        [row] = rows.claim_due(10)
        assert row.lease_owner not in {"", "dead"}


@pytest.mark.django_db
class TestANudge:
    def test_makes_a_mailbox_due_now(self, connect):
        mailbox = connect()
        assert rows.nudge(mailbox.pk)
        assert [row.pk for row in rows.due()] == [mailbox.pk]

    @pytest.mark.parametrize(
        "columns", [{"lease_owner": "somebody"}, {"refresh_failures": 1}, {"refresh_at": None}], ids=str
    )
    def test_leaves_leased_paused_and_unscheduled_ones_alone(self, connect, columns):
        assert not rows.nudge(connect(**columns).pk)
        assert not rows.due().exists()


@pytest.mark.django_db
@pytest.mark.parametrize("stored", [b"\xff\x00\\134 \\ altered", b"\\", b"plain", b""])
def test_a_sweep_reads_an_altered_value_as_everybody_else_does(connect, stored):
    """Else it would look as if somebody had changed it since, and the mailbox be claimed again and again."""
    mailbox = connect(refresh_at=in_seconds(-1))
    overwrite(mailbox, "refresh_token", stored)
    [claimed] = rows.claim_due(1)
    assert claimed.refresh_token == rows.get(pk=mailbox.pk).refresh_token


@pytest.mark.django_db
def test_dead_leases_are_released_and_living_ones_kept(connect):
    dead = connect(lease_owner="dead", refresh_at=in_seconds(-1000))
    just_ended = connect(lease_owner="just ended", refresh_at=in_seconds(-5))
    living = connect(lease_owner="living", refresh_at=in_seconds(30))
    assert rows.release_dead_leases() == 1
    owners = dict(rows.values_list("pk", "lease_owner"))
    assert owners == {dead.pk: "", just_ended.pk: "just ended", living.pk: "living"}


class TestManyAtOnce:
    def test_one_of_many_gets_a_mailbox(self, separate_connections, connect):
        mailbox = connect()
        found = together(8, lambda: claim(mailbox))
        assert sum(row is not None for row in found) == 1

    def test_two_sweeps_never_get_the_same(self, separate_connections, connect):
        due = {connect(refresh_at=in_seconds(-1)).pk for _ in range(24)}

        def sweep() -> list[object]:
            taken: list[object] = []
            while batch := rows.claim_due(5):
                taken += [row.pk for row in batch]
            return taken

        taken = [pk for part in together(4, sweep) for pk in part]
        assert len(taken) == len(set(taken))
        # Who skips rows that another is just claiming may stop early; nothing is lost by that.
        taken += [row.pk for row in rows.claim_due(100)]
        assert sorted(taken) == sorted(due)
