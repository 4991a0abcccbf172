"""An app that is locked out is seen wherever its mailboxes are, though each of these is in order by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.admin.notices import Level
from mail_oauth.exceptions import AdminRequired
from mail_oauth.managers.vocabulary import Access, Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.app_troubles import app_troubles
from mail_oauth.upkeep.status import status_report
from tests.admin.conftest import CHANGELIST, page_of
from tests.mailboxes import stored

DASHBOARD = "/admin/mail_oauth/dashboard/"


@pytest.fixture
def many(add):
    return add("work", *(f"user{number}@contoso.example" for number in range(3)))


@pytest.fixture
def locked_out(many, provider):
    """The app's row waits for an administrator; its mailboxes' rows are connected."""
    with provider.fault(Fault.oauth_error("invalid_grant", aadsts=65001)), pytest.raises(AdminRequired):
        many[0].get_access_token()
    assert {stored(each).status for each in many} == {Status.CONNECTED}
    return many


class TestAMailboxsPage:
    def test_begins_with_it(self, locked_out, root):
        response = root.get(page_of(locked_out[0]))
        [notice] = response.context["inspection"].notices
        assert (notice.level, "The app's own access" in notice.headline) == (Level.BAD, True)
        assert response.context["inspection"].badge.level == Level.BAD
        assert "Nobody has to act" not in response.content.decode()

    def test_says_what_is_amiss_with_the_mailbox_too(self, locked_out, root):
        MailCredentials.objects.filter(pk=locked_out[0].pk).update(use_oauth=False)
        first, second = root.get(page_of(locked_out[0])).context["inspection"].notices
        assert "The app's own access" in first.headline
        assert "switched off for this mailbox" in second.headline

    def test_tells_nobody_to_act_where_all_is_well(self, many, root):
        many[0].get_access_token()
        assert "Nobody has to act" in root.get(page_of(many[0])).content.decode()

    def test_sends_nobody_to_a_user_whom_there_is_not(self, many, root):
        MailCredentials.objects.filter(access=Access.APP).update(status=Status.NEEDS_REAUTH)
        [notice] = root.get(page_of(many[0])).context["inspection"].notices
        assert "It has no user: add it again" in notice.next_step


class TestTheDashboard:
    def test_names_the_app_and_how_many_mailboxes_hang_on_it(self, locked_out, root):
        MailCredentials.objects.filter(pk=locked_out[0].pk).update(use_oauth=False)
        [found] = [
            each for each in root.get(DASHBOARD).context["summary"].findings if "own access" in each.headline
        ]
        assert found.level == Level.BAD
        assert found.headline.startswith("Microsoft: 2 mailboxes hang on the app's own access.")
        app = MailCredentials.objects.get(access=Access.APP)
        shown = root.get(f"{CHANGELIST}?{found.way.search}").context["cl"].result_list
        assert list(shown) == [app]

    def test_says_nothing_where_all_is_well(self, many, root):
        many[0].get_access_token()
        assert app_troubles() == ()
        assert "own access" not in root.get(DASHBOARD).content.decode()

    def test_is_not_broken_by_settings_that_are(self, locked_out, settings):
        settings.MAIL_OAUTH = {"PROVIDERS": {"odd": 3, **settings.MAIL_OAUTH["PROVIDERS"]}}
        assert len(app_troubles()) == 1
        settings.MAIL_OAUTH = 3
        assert app_troubles() == ()


class TestTheList:
    def test_has_a_banner(self, locked_out, root):
        text = root.get(CHANGELIST).content.decode()
        assert "3 mailboxes hang on the app" in text
        assert text.count("mail-oauth-notice") == 1

    def test_has_none_where_all_is_well(self, many, root):
        many[0].get_access_token()
        assert "mail-oauth-notice" not in root.get(CHANGELIST).content.decode()

    def test_looks_by_one_query_whatever_the_number_of_mailboxes(self, many, root, add):
        many[0].get_access_token()
        with CaptureQueriesContext(connection) as few:
            root.get(CHANGELIST)
        add("work", *(f"more{number}@contoso.example" for number in range(9)))
        with CaptureQueriesContext(connection) as more:
            root.get(CHANGELIST)
        assert len(more) == len(few)


class TestNumbersOfMailboxes:
    def test_leave_the_apps_own_access_out(self, many, root):
        assert status_report().mailboxes == len(many)
        assert set(MailCredentials.objects.healthy()) == set(many)
        assert "3 of 3 mailboxes are connected." in root.get(DASHBOARD).content.decode()

    def test_and_so_does_the_command(self, many, capsys):
        call_command("mail_oauth", "status", "--json")
        assert '"mailboxes": 3' in capsys.readouterr().out


def test_the_digest_names_it(site, add, provider, settings, mailoutbox):
    from mail_oauth.models import Episode, Notice
    from mail_oauth.notices.digest import tell_operators

    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NOTIFY": "operators", "NOTIFY_OPERATORS": ["ops@site.example"]}
    mailbox = add("work", "ada@contoso.example")
    with provider.fault(Fault.oauth_error("invalid_grant", aadsts=65001)), pytest.raises(AdminRequired):
        mailbox.get_access_token()
    Notice.objects.create(recipient="operators", due_at=timezone.now())
    Episode.objects.update(began_at=timezone.now() - timedelta(days=1))
    assert tell_operators(Episode.objects.all(), Notice.objects.all(), mass=False)
    assert "* no mailbox: the token that the app has for all (work)" in mailoutbox[0].body
