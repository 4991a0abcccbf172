"""Mailboxes without a user are added by staff or by a command, each once and with an event; users see none of them."""

from __future__ import annotations

import io

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.urls import reverse

from mail_oauth.connect.app_only import add_mailboxes
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.exceptions import AdminRequired, ConfigurationError
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Revocation
from mail_oauth.signals import mailbox_connected
from mail_oauth.testing.faults import Fault
from tests.admin.conftest import page_of
from tests.concurrency import together
from tests.mailboxes import stored

ADD = "/admin/mail_oauth/mailcredentials/add/"
MAILBOXES = MailCredentials.objects.exclude(access=Access.APP)


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command("mail_oauth", "add_mailbox", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
class TestByCommand:
    def test_each_is_one_row_with_an_event(self, site):
        said = command("work", "ada@contoso.example", "bob@contoso.example")
        assert "added: 2" in said
        rows = list(MAILBOXES.order_by("email"))
        assert [(row.email, row.user, row.access, row.tenant) for row in rows] == [
            ("ada@contoso.example", None, "shared", "contoso.example"),
            ("bob@contoso.example", None, "shared", "contoso.example"),
        ]
        assert [list(row.events.values_list("kind", flat=True)) for row in rows] == [["connected"]] * 2

    def test_a_file_has_one_a_line(self, site, tmp_path):
        file = tmp_path / "addresses.txt"
        file.write_text("# ours\nada@example.com\n\nbob@example.com\n")
        command("domain", "--file", str(file))
        assert set(MAILBOXES.values_list("email", "access")) == {
            ("ada@example.com", "own"),
            ("bob@example.com", "own"),
        }

    def test_one_that_is_there_is_left_as_it_is(self, site):
        command("work", "ada@contoso.example")
        assert "there already: 1" in command("work", "ADA@contoso.example")
        assert MAILBOXES.count() == 1
        assert stored(MAILBOXES.get()).events.count() == 1

    def test_one_that_was_disconnected_is_taken_into_use_again(self, site, add, provider):
        mailbox = add("work", "ada@contoso.example")
        disconnect(mailbox)
        assert "taken into use again: 1" in command("work", "ada@contoso.example")
        assert stored(mailbox).get_access_token()
        assert list(mailbox.events.order_by("pk").values_list("kind", flat=True)) == [
            "connected",
            "disconnected",
            "tokens_dropped",
            "reconnected",
        ]

    def test_what_is_no_address_is_named_and_the_others_are_added(self, site):
        with pytest.raises(CommandError, match="1 of 2"):
            command("work", "ada@contoso.example", "no address")
        assert MAILBOXES.count() == 1

    @pytest.mark.parametrize("alias", ["google", "nobody"])
    def test_an_alias_of_users_or_of_nobody_is_refused(self, site, alias):
        with pytest.raises(CommandError, match=r"ACCESS|has no 'nobody'"):
            command(alias, "ada@example.com")

    def test_nothing_to_add_is_a_mistake(self, site, tmp_path):
        with pytest.raises(CommandError, match="Give an address"):
            command("work")
        with pytest.raises(CommandError, match="cannot be read"):
            command("work", "--file", str(tmp_path / "nowhere"))

    def test_the_site_hears_of_each(self, site):
        heard = []
        mailbox_connected.connect(receiver := lambda credentials, **_: heard.append(credentials.email))
        try:
            add_mailboxes("domain", ["ada@example.com"])
            add_mailboxes("work", ["bob@contoso.example"])
        finally:
            mailbox_connected.disconnect(receiver)
        assert heard == ["ada@example.com", "bob@contoso.example"], "and of no row that is no mailbox"

    def test_many_cost_few_queries_to_look_for(self, site, django_assert_max_num_queries):
        addresses = [f"user{number}@contoso.example" for number in range(50)]
        add_mailboxes("work", addresses)
        with django_assert_max_num_queries(3):
            assert len(add_mailboxes("work", addresses).known) == 50


@pytest.mark.django_db
class TestInTheAdmin:
    def test_several_at_once_by_whoever_may_add(self, site, staff, signed_in):
        person = staff("view", "add")
        page = signed_in(person)
        shown = page.get(ADD).content.decode()
        assert "Microsoft" in shown
        assert "Google" in shown
        sent = {"provider": "work", "addresses": "ada@contoso.example\r\nbob@contoso.example\r\n"}
        response = page.post(ADD, sent, follow=True)
        assert "2 mailboxes were added." in response.content.decode()
        rows = list(MAILBOXES.order_by("email"))
        assert [row.email for row in rows] == ["ada@contoso.example", "bob@contoso.example"]
        assert {row.events.get().actor for row in rows} == {person}
        assert LogEntry.objects.filter(user=person).count() == 2

    @pytest.mark.parametrize(
        ("alias", "addresses", "said"),
        [
            ("work", "no address", "This is no address"),
            ("google", "ada@example.com", "Select a valid choice"),
            ("work", "", "required"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_is_added(self, site, root, alias, addresses, said):
        response = root.post(ADD, {"provider": alias, "addresses": addresses})
        assert said in response.content.decode()
        assert not MailCredentials.objects.exists()

    def test_nobody_adds_where_users_connect_all(self, provider, root):
        assert root.get(ADD).status_code == 403

    def test_nobody_adds_without_permission(self, site, staff, signed_in):
        page = signed_in(staff("view", "change"))
        assert page.get(ADD).status_code == 403
        assert page.post(ADD, {"provider": "work", "addresses": "ada@contoso.example"}).status_code == 403

    def test_every_page_shows_mailboxes_without_a_user(self, site, add, root):
        mailbox = add("work", "ada@contoso.example")
        mailbox.get_access_token()
        rows = [mailbox, *add("domain", "bob@example.com", "eve@example.com")]
        for each in [*rows, MailCredentials.objects.get(access=Access.APP)]:
            assert root.get(page_of(each)).status_code == 200
            assert root.get(page_of(each, "delete/")).status_code == 200
        assert root.get("/admin/mail_oauth/mailcredentials/").status_code == 200
        assert root.get("/admin/mail_oauth/mailcredentials/?q=ada").status_code == 200
        assert root.get("/admin/mail_oauth/credentialevent/").status_code == 200
        assert "by the token that the app has" in root.get(page_of(mailbox)).content.decode()

    def test_the_page_of_a_mailbox_says_what_is_wrong_with_the_apps_access(self, site, add, root, provider):
        mailbox = add("work", "ada@contoso.example")
        assert "own access" not in root.get(page_of(mailbox)).content.decode()
        with provider.fault(Fault.oauth_error("invalid_grant", aadsts=53003)), pytest.raises(AdminRequired):
            mailbox.get_access_token()
        page = root.get(page_of(mailbox)).content.decode()
        assert "own access, which opens this mailbox" in page
        assert "AADSTS53003" in page

    @pytest.mark.parametrize("name", ["refresh_now", "rebuild_cache_entry", "pause"])
    def test_what_staff_do_to_them_works(self, site, add, root, name):
        for mailbox in (add("work", "ada@contoso.example"), add("domain", "bob@example.com")):
            mailbox.get_access_token()
            response = root.post(page_of(mailbox, f"operation/{name}/"), {"confirmed": "yes"}, follow=True)
            assert response.status_code == 200
            assert 'class="success"' in response.content.decode(), response.content.decode()

    def test_disconnecting_says_that_the_app_keeps_its_access(self, site, add, root):
        mailbox = add("work", "ada@contoso.example")
        response = root.post(page_of(mailbox, "operation/disconnect/"), {"confirmed": "yes"}, follow=True)
        assert "until an administrator takes it away" in response.content.decode()
        row = stored(mailbox)
        assert (row.status, row.refresh_at) == ("disconnected", None)


@pytest.mark.django_db
class TestUsers:
    def test_see_no_mailbox_that_is_nobodys(self, site, add, user, client):
        mailbox = add("work", "ada@contoso.example")
        client.force_login(user)
        page = client.get(reverse("mail_oauth:mailboxes")).content.decode()
        assert mailbox.email not in page
        assert client.post(reverse("mail_oauth:disconnect", args=[mailbox.pk])).status_code == 404
        assert client.post(reverse("mail_oauth:send_test", args=[mailbox.pk])).status_code == 404

    def test_are_not_asked_to_consent_where_the_app_is_let_in(self, site, user, client):
        client.force_login(user)
        page = client.get(reverse("mail_oauth:mailboxes")).content.decode()
        assert reverse("mail_oauth:start", args=["microsoft"]) in page
        assert reverse("mail_oauth:start", args=["work"]) not in page
        assert client.post(reverse("mail_oauth:start", args=["work"])).status_code == 404

    def test_that_are_nobody_have_no_mailbox(self, site, add):
        add("work", "ada@contoso.example")
        assert list(MailCredentials.objects.for_user(None)) == []

    def test_connect_a_mailbox_that_the_app_is_let_into_as_well(self, site, add, surfer, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "refuse"}
        mailbox = add("domain", "ada@example.com")
        MailCredentials.objects.filter(pk=mailbox.pk).update(provider="plain")  # which was for the app before
        surfer.connect("plain", email="ada@example.com")
        assert MailCredentials.objects.filter(provider="plain", user__isnull=False).count() == 1


@pytest.mark.django_db
def test_disconnecting_asks_nobody_and_says_so(site, add, provider):
    for mailbox in (add("work", "ada@contoso.example"), add("domain", "bob@example.com")):
        mailbox.get_access_token()
        provider.clear_calls()
        assert disconnect(mailbox) is Revocation.NOTHING
        assert provider.calls == []
        assert stored(mailbox).events.filter(kind="tokens_dropped", reason="app_only").exists()


@pytest.mark.django_db
def test_an_app_that_is_let_in_no_more_says_which_option_is_missing(site, add):
    mailbox = add("domain", "ada@example.com")
    site.change("domain", ACCESS="user", CLIENT_ID="x", CLIENT_SECRET="a-secret-of-this-test")
    with pytest.raises(Exception, match="configuration"):
        mailbox.get_access_token()
    with pytest.raises(ConfigurationError):
        add_mailboxes("domain", ["bob@example.com"])


def test_whoever_adds_the_same_at_once_there_is_one_row_of_each(separate_connections, site):
    addresses = [f"user{number}@contoso.example" for number in range(5)]
    told = together(4, lambda: add_mailboxes("work", addresses))
    assert sorted(MAILBOXES.values_list("email", flat=True)) == addresses
    assert MailCredentials.objects.filter(access=Access.APP).count() == 1
    assert sorted(each for added in told for each in added.new) == addresses, "each was added by one of them"
    assert all(len(added.new) + len(added.known) == 5 for added in told)
