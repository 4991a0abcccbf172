"""Nobody is told that an idle mailbox is broken or late; staff see why it rests, and can keep it warm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.admin import mailboxes, policies
from mail_oauth.admin.notices import Level, badge, notices
from mail_oauth.admin.policies import POLICIES, Choice, choose_for_all
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.status import status_report
from tests.admin.conftest import CHANGELIST, counting, page_of, root, signed_in, staff, superuser
from tests.telling import said

__all__ = ["counting", "root", "signed_in", "staff", "superuser"]

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def again(mailbox: MailCredentials) -> MailCredentials:
    return MailCredentials.objects.get(pk=mailbox.pk)


def choose(browser, mailbox: MailCredentials, name: str):
    """Press one of the buttons behind "Keep warm"."""
    return browser.post(page_of(mailbox, f"operation/{name}/"))


@pytest.fixture
def idle(site, connect) -> MailCredentials:
    site("on_demand")
    now = timezone.now()
    times = {"token_issued_at": now - 4 * HOUR, "token_expiry": now - 3 * HOUR, "refresh_at": now + 20 * DAY}
    return connect(**times)


class TestTheAdmin:
    def test_calls_it_idle(self, idle):
        assert badge(idle).level is Level.GOOD
        assert str(badge(idle).words) == "connected, idle"
        (notice,) = notices(idle, timezone.now())
        assert notice.level is Level.GOOD
        assert notice.headline == "Connected; idle: refreshed when it is asked for."
        assert "At the latest: in 19 days." in notice.next_step

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"refresh_failures": 2, "last_refresh_error": "dns"}, "last 2 refreshes failed"),
            ({"status": "needs_reauth"}, "no longer accepts this grant"),
            ({"use_oauth": False}, "switched off"),
            ({"refresh_at": None}, "nothing keeps it so"),
        ],
    )
    def test_hides_no_trouble_behind_that(self, idle, columns, words):
        for name, value in columns.items():
            setattr(idle, name, value)
        (notice, *_) = notices(idle, timezone.now())
        assert words in notice.headline

    def test_shows_no_expiry_that_is_past_in_its_list(self, idle, connect, root):
        html = root.get(CHANGELIST).content.decode()
        assert "when asked for" in html
        assert "h ago" not in html

    def test_shows_which_policy_it_is_under_beside_its_last_use(self, idle, root):
        def kept() -> str:
            facts = root.get(page_of(idle)).context["inspection"].account
            labels = [fact.label for fact in facts]
            assert labels.index("Kept warm") == labels.index("Last used") + 1
            return facts[labels.index("Kept warm")].text

        assert kept() == "when its token is asked for (as its provider or the settings say)"
        MailCredentials.objects.update(refresh_policy="recently_used")
        assert kept() == "while it is used"


class TestChoosingAPolicy:
    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("keep_always", "always", "always"),
            ("keep_recently_used", "recently_used", "while it is used"),
            ("keep_on_demand", "on_demand", "when its token is asked for"),
            ("keep_default", "", "as the settings say"),
        ],
    )
    def test_is_a_button_on_its_page(self, idle, root, name, value, words):
        MailCredentials.objects.update(refresh_policy="" if value else "always")
        assert page_of(idle, f"operation/{name}/") in root.get(page_of(idle)).content.decode()
        response = choose(root, idle, name)
        assert again(idle).refresh_policy == value
        assert said(response) == [f"{idle.email}: kept warm: {words}."]
        assert LogEntry.objects.get().get_change_message() == f"{words}: kept warm: {words}."

    def test_makes_it_due_where_it_is_to_be_warm(self, idle, root):
        choose(root, idle, "keep_always")
        assert again(idle).refresh_at <= timezone.now()

    def test_shows_what_is_in_force(self, idle, root):
        html = root.get(page_of(idle)).content.decode()
        pressed = [line for line in html.split("<button") if "aria-pressed" in line]
        assert len(pressed) == 1
        assert "as the settings say" in pressed[0]

    def test_needs_the_permission_to_change(self, idle, staff, signed_in):
        browser = signed_in(staff("view"))
        assert "keep_always" not in browser.get(page_of(idle)).content.decode()
        assert choose(browser, idle, "keep_always").status_code == 403
        assert again(idle).refresh_policy == ""


class TestChoosingForMany:
    @pytest.fixture
    def many(self, site, connect):
        """Idle mailboxes."""
        site("on_demand")

        def make(number: int) -> list[MailCredentials]:
            ago = timezone.now() - 3 * HOUR
            times = {"token_issued_at": ago - HOUR, "token_expiry": ago, "refresh_at": ago + 20 * DAY}
            return [connect(**times) for _ in range(number)]

        return make

    def act(self, browser, name: str, mailboxes=None):
        """Choose an action of the list for these mailboxes, or for all that it has."""
        chosen = [str(each.pk) for each in mailboxes or MailCredentials.objects.all()]
        across = {} if mailboxes else {"select_across": "1"}
        return browser.post(CHANGELIST, {"action": name, "_selected_action": chosen, "index": "0", **across})

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("keep_always", "always", "always"),
            ("keep_recently_used", "recently_used", "while it is used"),
            ("keep_on_demand", "on_demand", "when its token is asked for"),
            ("keep_default", "", "as the settings say"),
        ],
    )
    def test_is_an_action_of_the_list(self, many, root, superuser, name, value, words):
        rows = many(4)
        MailCredentials.objects.filter(pk=rows[0].pk).update(refresh_policy=value)
        MailCredentials.objects.exclude(pk=rows[0].pk).update(refresh_policy="" if value else "always")
        assert f">Keep warm: {words}</option>" in root.get(CHANGELIST).content.decode()
        told = said(self.act(root, name, rows[:3]))
        assert told == [f"Kept warm: {words}. 2 mailboxes were changed. 1 was so before."]
        assert [again(row).refresh_policy for row in rows] == [value] * 3 + ["" if value else "always"]
        entries = LogEntry.objects.all()
        assert {entry.object_id for entry in entries} == {str(row.pk) for row in rows[1:3]}
        assert {(entry.user, entry.get_change_message()) for entry in entries} == {
            (superuser, f"{words}: kept warm: {words}.")
        }

    def test_makes_those_due_that_are_to_be_warm(self, many, root):
        rows = many(3)
        self.act(root, "keep_always", rows)
        assert all(again(row).refresh_at <= timezone.now() for row in rows)

    def test_says_so_where_nothing_was_to_be_done(self, many, root):
        many(1)
        told = said(self.act(root, "keep_default"))
        assert told == ["Kept warm: as the settings say. 0 mailboxes were changed. 1 was so before."]
        assert not LogEntry.objects.exists()

    def test_costs_no_more_for_more_mailboxes(self, many, root, superuser):
        self.act(root, "keep_default", many(1))  # so that content types are known

        def cost(number: int) -> int:
            MailCredentials.objects.all().delete()
            rows = many(number)
            with CaptureQueriesContext(connection) as queries:
                choice = choose_for_all(
                    POLICIES["keep_always"],
                    MailCredentials.objects.filter(pk__in=[row.pk for row in rows]),
                    lambda some: LogEntry.objects.log_actions(superuser.pk, some, CHANGE, "kept"),
                )
            assert choice.changed == number
            assert not [query for query in queries if "access_token" in query["sql"]]
            return len(queries)

        # Count, choose, write, what is amiss, move, log; those whose moments differ are moved by a write each.
        assert {cost(3), cost(12)} <= {6, 7}

    def test_takes_many_in_parts_and_the_next_goes_on(self, many, root, monkeypatch):
        rows = many(5)
        monkeypatch.setattr(policies, "AT_ONCE", 2)
        monkeypatch.setitem(POLICIES, "keep_always", replace(POLICIES["keep_always"], at_once=3))
        logged: list[int] = []

        def choose() -> Choice:
            found = MailCredentials.objects.all()
            return choose_for_all(POLICIES["keep_always"], found, lambda some: logged.append(len(some)))

        assert choose() == Choice(changed=3, same=0, left=2)
        assert choose() == Choice(changed=2, same=3, left=0)
        assert logged == [2, 1, 2]
        assert all(again(row).refresh_policy == "always" for row in rows)

    def test_ends_when_its_time_is_over_and_says_what_is_left(self, many, root, monkeypatch):
        many(3)
        choose = policies.choose_for_all
        monkeypatch.setattr(mailboxes, "choose_for_all", lambda *told: choose(*told, budget=-1))
        assert said(self.act(root, "keep_always")) == [
            "Kept warm: always. 0 mailboxes were changed.",
            "3 more mailboxes are left: choose it again for them.",
        ]

    def test_needs_the_permission_to_change(self, many, staff, signed_in):
        [row] = many(1)
        browser = signed_in(staff("view"))
        assert "keep_always" not in browser.get(CHANGELIST).content.decode()
        assert self.act(browser, "keep_always", [row]).status_code == 403
        assert again(row).refresh_policy == ""
        self.act(signed_in(staff("view", "change")), "keep_always", [row])
        assert again(row).refresh_policy == "always"

    def test_begins_with_a_filter_of_the_list(self, connect, site, root, counting):
        site("on_demand", google={"REFRESH_POLICY": "recently_used"})
        own, google, plain = connect(refresh_policy="always"), connect("google"), connect("plain")

        def shown(policy: str) -> set[str]:
            with CaptureQueriesContext(connection) as queries:
                response = root.get(CHANGELIST, {"policy": policy})
            assert len(queries) == 3 + counting, "session, person, rows"
            return {row.email for row in response.context["cl"].result_list}

        assert shown("always") == {own.email}
        assert shown("recently_used") == {google.email}
        assert shown("on_demand") == {plain.email}
        assert shown("-") == {google.email, plain.email}
        assert shown("no such policy") == {own.email, google.email, plain.email}

    def test_does_so_also_where_the_settings_are_spoilt(self, connect, root, settings):
        connect(refresh_policy="always"), connect()
        settings.MAIL_OAUTH = {"PROVIDER": {}}
        assert len(root.get(CHANGELIST, {"policy": "always"}).context["cl"].result_list) == 1

    def test_goes_on_where_a_filter_finds_no_more_what_was_changed(self, connect, site, root):
        site("on_demand")
        row = connect()
        selected = {"action": "keep_always", "_selected_action": [str(row.pk)], "select_across": "1"}
        told = said(root.post(f"{CHANGELIST}?policy=-", {**selected, "index": "0"}))
        assert told == ["Kept warm: always. 1 mailbox was changed."]
        assert again(row).refresh_policy == "always"


class TestTheStatus:
    def test_counts_idle_mailboxes_and_takes_no_expiry_from_them(self, idle, connect, django_assert_num_queries):
        warm = connect(refresh_policy="always")
        with django_assert_num_queries(1):
            report = status_report()
        assert (report.mailboxes, report.idle, report.overdue) == (2, 1, 0)
        assert report.soonest_expiry == again(warm).token_expiry

    def test_counts_nothing_idle_where_all_are_kept_warm(self, idle, site):
        site("always")
        assert status_report().idle == 0
