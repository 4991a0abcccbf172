"""A user is mailed once for each time that a mailbox needs somebody, and once when it works again by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import Episode, MailCredentials, Notice
from mail_oauth.notices.run import send_notices
from mail_oauth.notices.todo import todo
from mail_oauth.signals import user_notified
from tests.losses.passing import pass_time, sweep
from tests.mailboxes import stored
from tests.notifications.conftest import AFTER, BLOCKED, REFUSED

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(notify, connect, owner) -> MailCredentials:
    return connect(email="ada@example.com", owner=owner)


def test_a_user_is_mailed_once(row, fall, later, mailoutbox):
    fall(row)
    for _ in range(3):
        later()
    [mail] = mailoutbox
    assert mail.to == ["ada@home.example"]
    assert mail.subject == "Please reconnect ada@example.com"
    assert "http://testserver/mail/" in mail.body
    told = row.events.filter(kind=EventKind.USER_TOLD)
    assert [event.reason for event in told] == [Status.NEEDS_REAUTH]


def test_nobody_is_mailed_before_the_brake_had_its_time(row, fall, later, mailoutbox):
    fall(row)
    assert send_notices().mailed == 0
    assert later(timedelta(minutes=9)).mailed == 0
    assert later(timedelta(minutes=2)).mailed == 1


def test_who_reconnects_in_time_is_not_mailed_at_all(row, fall, later, mailoutbox, surfer):
    fall(row)
    row.subject, row.issuer = "", ""
    surfer.follow(surfer.consent(surfer.start(mailbox=str(row.pk), replace="yes"), row.email))
    assert stored(row).status == Status.CONNECTED
    assert not Episode.objects.exists()
    later()
    assert mailoutbox == []


def test_who_reconnects_after_the_mail_knows_that_it_works(row, fall, later, mailoutbox, surfer):
    fall(row)
    later()
    surfer.follow(surfer.consent(surfer.start(mailbox=str(row.pk), replace="yes"), row.email))
    later()
    assert len(mailoutbox) == 1
    assert not Episode.objects.exists()


def test_a_new_episode_is_a_new_mail(row, fall, later, mailoutbox, surfer):
    for _ in range(2):
        fall(row)
        later()
        surfer.follow(surfer.consent(surfer.start(mailbox=str(row.pk), replace="yes"), row.email))
    assert len(mailoutbox) == 2


class TestItWorksAgainByItself:
    @pytest.fixture
    def blocked(self, row, fall, later):
        fall(row, fault=BLOCKED)
        later()
        assert stored(row).status == Status.NEEDS_ADMIN

    def mend(self, row):
        MailCredentials.objects.filter(pk=row.pk).update(refresh_at=row.connected_at)
        sweep()
        assert stored(row).status == Status.CONNECTED

    def test_and_its_user_is_told_so_once(self, row, blocked, later, mailoutbox):
        self.mend(row)
        for _ in range(3):
            later()
        assert [mail.subject for mail in mailoutbox] == [
            "ada@example.com needs your administrator",
            "ada@example.com works again",
        ]
        assert not Episode.objects.exists()

    def test_and_falls_again_at_once_which_is_the_same_episode(self, row, blocked, fall, later, mailoutbox):
        self.mend(row)
        fall(row, fault=BLOCKED)
        for _ in range(2):
            later()
        assert len(mailoutbox) == 1

    def test_but_that_mail_can_be_switched_off(self, row, notify, blocked, later, mailoutbox):
        notify(NOTIFY_RECOVERY=False)
        self.mend(row)
        later()
        assert len(mailoutbox) == 1
        assert not Episode.objects.exists()

    def test_then_needs_the_user_which_is_another_mail(self, row, blocked, fall, later, mailoutbox):
        fall(row, fault=REFUSED)
        later()
        assert mailoutbox[1].subject == "Please reconnect ada@example.com"


class TestNobodyIsMailed:
    def test_while_it_is_off(self, row, notify, fall, later, mailoutbox):
        notify("")
        fall(row)
        assert later().ended == "off"
        assert not Episode.objects.exists()
        notify()
        later()
        assert mailoutbox == [], "nor of what was before it was switched on"

    def test_of_a_mailbox_that_was_disconnected(self, row, fall, later, mailoutbox):
        fall(row)
        disconnect(row)
        later()
        assert mailoutbox == []
        assert not Episode.objects.exists()

    def test_of_one_that_is_paused_until_it_is_resumed(self, row, fall, later, mailoutbox):
        fall(row)
        pause(stored(row))
        assert later().nothing == 1
        resume(stored(row))
        assert later().mailed == 1

    def test_who_is_no_longer_active_or_has_no_address(self, row, owner, fall, later, mailoutbox):
        fall(row)
        owner.is_active = False
        owner.save()
        assert later().unreachable == 1
        assert mailoutbox == []

    def test_of_a_mailbox_that_works_or_is_the_operators_business(self, row, later, mailoutbox):
        MailCredentials.objects.update(status=Status.UNREADABLE)
        later()
        assert mailoutbox == []

    def test_of_what_could_not_be_mailed_for_a_week(self, row, fall, later, mailoutbox, mail_by):
        fall(row)
        mail_by("nowhere.Backend")
        assert later().failed == 1
        mail_by()
        assert later(timedelta(days=8)).nothing == 1
        assert mailoutbox == []


class TestSeveralMailboxesOfOneUser:
    def test_are_in_one_mail(self, notify, connect, owner, fall, later, mailoutbox):
        rows = [connect(owner=owner) for _ in range(3)]
        fall(*rows)
        later()
        [mail] = mailoutbox
        assert mail.subject == "3 of your mailboxes need attention"
        assert all(row.email in mail.body for row in rows)

    def test_wait_for_each_other_for_a_while(self, notify, connect, owner, fall, later, mailoutbox):
        first, second = connect(owner=owner), connect(owner=owner)
        fall(first)
        pass_time(timedelta(minutes=8))
        fall(second)
        assert later(timedelta(minutes=3)).put_off == 1
        assert later(timedelta(minutes=8)).mailed == 1
        [mail] = mailoutbox
        assert first.email in mail.body
        assert second.email in mail.body

    def test_but_not_for_ever(self, notify, connect, owner, fall, later, mailoutbox):
        rows = [connect(owner=owner) for _ in range(4)]
        for row in rows:
            fall(row)
            later(timedelta(minutes=8))
        assert rows[0].email in mailoutbox[0].body

    def test_of_two_users_are_in_two(self, notify, connect, owner, other_user, fall, later, mailoutbox):
        other_user.email = "eve@home.example"
        other_user.save()
        fall(connect(owner=owner), connect(owner=other_user))
        assert later().mailed == 2
        assert {mail.to[0] for mail in mailoutbox} == {"ada@home.example", "eve@home.example"}


def test_of_more_mailboxes_than_one_statement_names_its_user_is_mailed_once(notify, owner, later, mailoutbox):
    rows = MailCredentials.objects.bulk_create(
        [
            MailCredentials(user=owner, provider="microsoft", email=f"m{n}@example.com", status="needs_reauth")
            for n in range(1200)
        ]
    )
    began = timezone.now() - timedelta(minutes=30)
    Episode.objects.bulk_create([Episode(credentials=row, need="needs_reauth", began_at=began) for row in rows])
    Notice.objects.all().wake(owner.pk, 0)
    assert [later().mailed, later().mailed] == [1, 0]
    assert len(mailoutbox) == 1
    assert not Episode.objects.filter(told_at__isnull=True).exists()


class TestOneMailboxKeepsNoOtherFromBeingTold:
    WEEK = timedelta(days=7).total_seconds()

    @pytest.fixture
    def held(self, row, fall, later):
        """`row` waits for its lane, which staff hold for a week."""
        fall(row)
        lanes = Lanes(MailCredentials.objects)
        health = lanes.hold_by_hand("microsoft", "", self.WEEK)
        assert later().put_off == 1
        return lambda: lanes.release(health.pk)

    def test_that_falls_meanwhile(self, held, connect, owner, fall, later, mailoutbox):
        other = connect("google", email="other@example.com", owner=owner)
        later(timedelta(hours=30))
        fall(other)
        assert later().mailed == 1
        assert mailoutbox[0].subject == "Please reconnect other@example.com"

    def test_that_falls_while_a_worker_is_at_it(self, held, connect, owner, fall, later, monkeypatch, mailoutbox):
        other, decide = connect("google", email="other@example.com", owner=owner), todo

        def deciding(*args, **options):
            found = decide(*args, **options)
            if not Episode.objects.filter(pk=other.pk).exists():
                fall(other)
            return found

        monkeypatch.setattr("mail_oauth.notices.run.todo", deciding)
        assert later(timedelta(hours=2)).put_off == 1
        assert later().mailed == 1
        assert mailoutbox[0].subject == "Please reconnect other@example.com"

    def test_and_is_told_itself_when_its_lane_is_released_before_its_time(self, held, later, mailoutbox):
        held()
        assert later(timedelta(hours=1)).mailed == 1

    def test_and_is_told_itself_however_long_its_lane_was_held(self, held, later, mailoutbox):
        assert later(timedelta(days=8)).put_off == 1
        held()
        assert later(timedelta(hours=1)).mailed == 1

    def test_and_a_workers_lease_is_not_cut_short(self, row, owner, fall):
        fall(row)
        Notice.objects.update(due_at=timezone.now() - timedelta(minutes=1))
        notice = Notice.objects.claim(f"user:{owner.pk}")
        Notice.objects.wake(owner.pk, 0)
        assert Notice.objects.get().due_at == notice.due_at


def test_others_hear_of_it(row, fall, later):
    heard = []

    def receiver(user, mailboxes, recovered, **_):
        heard.append((user, [each.pk for each in mailboxes], recovered))

    user_notified.connect(receiver)
    fall(row)
    later()
    assert heard == [(row.user, [row.pk], False)]


def test_what_changes_while_a_mail_is_written_is_not_forgotten(row, connect, owner, fall, later, mailoutbox):
    """The other mailbox falls between reading and settling: its user is looked at once more."""
    other = connect(owner=owner)
    fall(row)

    def receiver(**_):
        user_notified.disconnect(receiver)
        fall(other)

    user_notified.connect(receiver)
    later()
    assert Notice.objects.get(user=owner).due_at is not None
    later()
    assert [other.email in mail.body for mail in mailoutbox] == [False, True]


def test_the_database_is_asked_little(row, fall, later, django_assert_num_queries, mailoutbox):
    fall(row)
    pass_time(AFTER)
    Notice.objects.update(due_at=None)
    with django_assert_num_queries(1):
        send_notices()
    Notice.objects.update(due_at=row.connected_at - AFTER)
    # the page, the claim and its row, episodes, lanes; told, an event, settled; the next page, which is empty
    with django_assert_num_queries(9):
        assert send_notices().mailed == 1
    with django_assert_num_queries(1):
        send_notices()
