"""Nobody is told that an idle mailbox is broken or late; staff see why it rests, and can keep it warm."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.utils import timezone

from mail_oauth.admin.notices import Level, badge, notices
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.status import status_report
from tests.admin.conftest import CHANGELIST, page_of, root, signed_in, staff, superuser

__all__ = ["root", "signed_in", "staff", "superuser"]

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
        assert "in 19 days at the latest" in notice.next_step

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
        assert [str(message) for message in get_messages(response.wsgi_request)] == [
            f"{idle.email}: kept warm: {words}."
        ]
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
