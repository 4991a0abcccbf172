"""Operators get one mail about many mailboxes, and at once when there are too many to be their users' doing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mail_oauth.models import Episode, MailCredentials, Notice
from mail_oauth.notices.run import send_notices
from tests.losses.passing import pass_time, sweep
from tests.notifications.conftest import BLOCKED

pytestmark = pytest.mark.django_db

OPS = ["ops@site.example"]


@pytest.fixture
def people(django_user_model, connect):
    """`people(5)`: so many users with a mailbox each."""

    def make(number: int, **columns) -> list[MailCredentials]:
        numbers = range(django_user_model.objects.count(), django_user_model.objects.count() + number)
        users = [django_user_model.objects.create(username=f"p{n}", email=f"p{n}@home.example") for n in numbers]
        return [connect(owner=user, tenant="contoso", **columns) for user in users]

    return make


def to(mailoutbox, address: str) -> list:
    return [mail for mail in mailoutbox if address in mail.to]


def test_they_get_one_digest(notify, people, fall, later, mailoutbox):
    notify("operators", NOTIFY_OPERATORS=OPS)
    rows = people(3)
    fall(*rows[:2])
    fall(rows[2], fault=BLOCKED)
    assert later().digests == 1
    later()
    [mail] = mailoutbox
    assert mail.to == OPS
    assert mail.subject == "3 mailboxes need somebody, at testserver"
    assert "microsoft / contoso, needs reconnecting by its user: 2" in mail.body
    assert "microsoft / contoso, needs the user's administrator: 1" in mail.body
    assert "http://testserver/admin/mail_oauth/mailcredentials/" in mail.body


def test_and_the_next_one_an_hour_later_about_what_is_new(notify, people, fall, later, mailoutbox):
    notify("operators", NOTIFY_OPERATORS=OPS)
    first, second = people(2)
    fall(first)
    later()
    fall(second)
    assert later().digests == 0
    assert later(timedelta(hours=1)).digests == 1
    assert first.email not in mailoutbox[1].body
    assert second.email in mailoutbox[1].body


def test_both_are_told(notify, people, fall, later, mailoutbox):
    notify("all", NOTIFY_OPERATORS=OPS)
    fall(*people(2))
    report = later()
    assert (report.mailed, report.digests) == (2, 1)
    assert len(mailoutbox) == 3


def test_the_admins_are_operators_where_no_others_are_named(notify, settings, people, fall, later, mailoutbox):
    notify("operators")
    settings.ADMINS = [("Grace", "grace@site.example")]
    fall(*people(1))
    later()
    assert mailoutbox[0].to == ["grace@site.example"]


def test_who_switches_their_mail_on_gets_none_about_what_was_before(notify, people, fall, later, mailoutbox):
    notify("users")
    fall(*people(1))
    later()
    notify("all", NOTIFY_OPERATORS=OPS)
    later()
    assert to(mailoutbox, OPS[0]) == []


def test_of_a_mailbox_that_was_deleted_nobody_hears(notify, people, fall, later, mailoutbox):
    notify("all", NOTIFY_OPERATORS=OPS)
    first, second = people(2)
    fall(first, second)
    first.delete()
    second.user.delete()
    assert not Episode.objects.exists()
    assert [notice.user for notice in Notice.objects.of_users()] == [first.user]
    later()
    assert mailoutbox == []


def test_in_the_sites_own_language(notify, people, fall, later, mailoutbox, settings):
    notify("operators", NOTIFY_OPERATORS=OPS)
    settings.LANGUAGE_CODE = "fr"
    fall(*people(1))
    later()
    [(html, _)] = mailoutbox[0].alternatives
    assert '<html lang="fr">' in html


def test_a_digest_that_cannot_be_sent_is_sent_later(notify, people, fall, later, mailoutbox, mail_by):
    notify("operators", NOTIFY_OPERATORS=OPS)
    fall(*people(1))
    mail_by("nowhere.Backend")
    assert later().failed == 1
    mail_by()
    assert later().digests == 1
    assert len(mailoutbox) == 1


def test_a_thousand_are_as_long_a_mail_as_a_hundred(
    notify, people, later, mailoutbox, django_assert_max_num_queries
):
    notify("operators", NOTIFY_OPERATORS=OPS)
    rows = people(60, status="needs_reauth")
    Episode.objects.bulk_create(Episode(credentials=row, need="needs_reauth") for row in rows)
    pass_time(timedelta(minutes=11))
    with django_assert_max_num_queries(16):
        send_notices()
    [mail] = mailoutbox
    assert mail.body.count("\n* ") == 20
    assert "… and 40 more" in mail.body


class TestAMassEvent:
    def test_is_told_at_once(self, notify, people, fall, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000)
        fall(*people(6))
        pass_time(timedelta(seconds=10))
        assert send_notices().digests == 1
        [mail] = mailoutbox
        assert mail.to == OPS
        assert mail.subject.startswith("Many mailboxes at once")
        assert "Their users are mailed as well." in mail.body

    def test_also_if_there_was_a_digest_just_before(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000)
        fall(*people(1))
        later()
        fall(*people(6))
        pass_time(timedelta(seconds=10))
        send_notices()
        send_notices()
        assert len(to(mailoutbox, OPS[0])) == 2

    def test_users_are_mailed_as_well(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000)
        fall(*people(6))
        assert later().mailed == 6
        assert len(to(mailoutbox, OPS[0])) == 1

    def test_or_not_one_of_them_if_the_site_says_so(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000, NOTIFY_MASS_USERS=False)
        fall(*people(6))
        assert later().waived == 6
        [mail] = mailoutbox
        assert mail.to == OPS
        assert "NOTIFY_MASS_USERS is off" in mail.body
        assert later(timedelta(minutes=40)).waived == 0, "they wait until it is over"

    def test_is_over_after_an_hour(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000, NOTIFY_MASS_USERS=False)
        fall(*people(6))
        later()
        fall(*people(1))
        pass_time(timedelta(hours=2))
        assert send_notices().mailed == 7, "who needs something still is told then"

    def test_is_not_held_up_by_those_who_wait_for_its_end(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000, NOTIFY_MASS_USERS=False)
        fall(*people(6))
        mailed = sum(later(timedelta(minutes=20)).mailed for _ in range(9))
        assert mailed == 6
        assert len(to(mailoutbox, OPS[0])) == 1

    def test_is_none_where_mailboxes_work_again(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=5, BRAKE_COUNT=1000, NOTIFY_MASS_USERS=False)
        blocked, (fallen,) = people(6), people(1)
        for each in (blocked[:3], blocked[3:]):
            fall(*each, fault=BLOCKED)
            later()
            pass_time(timedelta(hours=2))
        MailCredentials.objects.filter(status="needs_admin").update(refresh_at=fallen.connected_at)
        sweep()
        fall(fallen)
        assert later().mailed == 7
        assert to(mailoutbox, fallen.user.email)[0].subject == f"Please reconnect {fallen.email}"

    def test_is_never_seen_with_a_count_of_0(self, notify, people, fall, later, mailoutbox):
        notify("all", NOTIFY_OPERATORS=OPS, NOTIFY_MASS_COUNT=0, BRAKE_COUNT=1000)
        fall(*people(6))
        later()
        assert to(mailoutbox, OPS[0])[0].subject == "6 mailboxes need somebody, at testserver"
