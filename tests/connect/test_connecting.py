"""A user presses the button, consents, and the mailbox is connected."""

from __future__ import annotations

import pytest
from django.urls import reverse

from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import ConnectAttempt, MailCredentials

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("alias", ["microsoft", "google", "keycloak"])
def test_a_mailbox_is_connected(surfer, alias, provider):
    reply = surfer.connect(alias, "ada@example.com")
    assert reply.status_code == 302
    assert reply["Location"] == reverse("mail_oauth:mailboxes")
    row = MailCredentials.objects.get()
    assert (row.user, row.provider, row.email) == (surfer.user, alias, "ada@example.com")
    assert row.status == Status.CONNECTED
    assert row.subject
    assert row.issuer
    assert provider.is_valid_access_token(row.get_access_token().reveal())
    assert [event.kind for event in row.events.all()] == [EventKind.CONNECTED]
    assert not ConnectAttempt.objects.exists()


def test_a_provider_that_names_nobody_asks_for_the_address(surfer):
    form = surfer.client.post(reverse("mail_oauth:start", args=["plain"]))
    assert form.status_code == 200
    assert b'name="email"' in form.content
    wrong = surfer.client.post(reverse("mail_oauth:start", args=["plain"]), {"email": "no address"})
    assert wrong.status_code == 400
    surfer.connect("plain", "ada@example.com", email="box@example.com")
    row = MailCredentials.objects.get()
    assert row.email == "box@example.com"
    assert not row.email_verified
    assert row.subject == ""


def test_a_token_that_cannot_be_refreshed_is_refused(surfer, settings):
    providers = settings.MAIL_OAUTH["PROVIDERS"]
    scopes = ["openid", "email", "profile", "https://outlook.office.com/IMAP.AccessAsUser.All"]
    changed = {**providers, "microsoft": {**providers["microsoft"], "SCOPES": scopes}}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": changed}
    reply = surfer.connect()
    assert reply["Location"].endswith("/refused/microsoft/no_refresh_token/")
    page = surfer.client.get(reply["Location"])
    assert b"offline access" in page.content
    assert not MailCredentials.objects.exists()


def test_partial_consent_is_refused_and_the_old_grant_stays(surfer):
    surfer.connect()
    before = MailCredentials.objects.get()
    url = surfer.start(mailbox=str(before.pk))
    reply = surfer.follow(
        surfer.consent(url, before.email, scopes=["openid", "profile", "email", "offline_access"])
    )
    assert "/refused/microsoft/scope_missing/" in reply["Location"]
    after = MailCredentials.objects.get()
    assert after.generation == before.generation
    assert after.open_refresh_token() == before.open_refresh_token()


class TestReconnecting:
    def test_the_same_account_keeps_its_row(self, surfer):
        surfer.connect()
        first = MailCredentials.objects.get()
        surfer.connect()
        again = MailCredentials.objects.get()
        assert again.pk == first.pk
        assert again.generation == first.generation + 1
        assert again.events.last().kind == EventKind.RECONNECTED

    def test_another_account_is_refused_until_the_user_says_replace(self, surfer):
        surfer.connect()
        row = MailCredentials.objects.get()
        reply = surfer.follow(surfer.consent(surfer.start(mailbox=str(row.pk)), "eve@example.com"))
        assert f"/refused/microsoft/wrong_account/?mailbox={row.pk}" in reply["Location"]
        assert MailCredentials.objects.get().generation == row.generation
        page = surfer.client.get(reply["Location"])
        assert b'name="replace" value="yes"' in page.content
        surfer.follow(surfer.consent(surfer.start(mailbox=str(row.pk), replace="yes"), "eve@example.com"))
        replaced = MailCredentials.objects.get()
        assert (replaced.pk, replaced.email) == (row.pk, "eve@example.com")
        assert replaced.events.last().kind == EventKind.REPLACED

    def test_a_typed_address_changes_only_when_the_user_says_replace(self, surfer):
        surfer.connect("plain", "ada@example.com", email="box@example.com")
        row = MailCredentials.objects.get()
        reply = surfer.connect("plain", "ada@example.com", email="other@example.com", mailbox=str(row.pk))
        assert "wrong_account" in reply["Location"]
        assert MailCredentials.objects.get().email == "box@example.com"
        surfer.connect("plain", "ada@example.com", email="other@example.com", mailbox=str(row.pk), replace="yes")
        assert MailCredentials.objects.get().email == "other@example.com"

    def test_a_disconnected_mailbox_comes_back_in_its_row(self, surfer):
        surfer.connect()
        row = MailCredentials.objects.get()
        surfer.client.post(reverse("mail_oauth:disconnect", args=[row.pk]))
        assert MailCredentials.objects.get().status == Status.DISCONNECTED
        surfer.connect()
        assert MailCredentials.objects.get().status == Status.CONNECTED

    def test_one_mailbox_under_two_users_is_two_rows(self, surfer, browser_of, other_user):
        surfer.connect()
        browser_of(other_user).connect()
        assert MailCredentials.objects.count() == 2

    def test_67_an_address_that_changed_at_the_provider_is_updated(self, surfer, connect):
        surfer.connect()
        row = MailCredentials.objects.get()
        MailCredentials.objects.filter(pk=row.pk).update(
            email="old@example.com", sign_in_address="old@example.com"
        )
        surfer.connect()
        assert MailCredentials.objects.get().email == "ada@example.com"

    def test_67_so_is_one_that_never_was_the_sign_in_name(self, surfer):
        surfer.connect()
        MailCredentials.objects.update(email="primary@example.com", sign_in_address="upn@example.com")
        surfer.connect()
        assert MailCredentials.objects.get().email == "ada@example.com"

    def test_a_shared_mailbox_is_a_row_beside_ones_own_and_stays_what_its_user_made_it(self, surfer):
        surfer.connect()
        surfer.connect(email="sales@example.com")
        own, shared = MailCredentials.objects.order_by("email")
        assert (own.email, own.address_typed) == ("ada@example.com", False)
        assert (shared.email, shared.address_typed, shared.email_verified) == ("sales@example.com", True, False)
        assert shared.sign_in_address == "ada@example.com"
        surfer.connect(mailbox=str(shared.pk))
        assert [row.email for row in MailCredentials.objects.order_by("email")] == [own.email, shared.email]

    def test_67_a_recycled_address_is_another_mailbox(self, surfer):
        surfer.connect()
        MailCredentials.objects.update(subject="somebody/else")
        surfer.connect()
        assert MailCredentials.objects.count() == 2


class TestPages:
    def test_the_list_shows_only_my_mailboxes(self, surfer, browser_of, other_user):
        surfer.connect()
        page = browser_of(other_user).client.get(reverse("mail_oauth:mailboxes"))
        assert b"ada@example.com" not in page.content
        assert b"ada@example.com" in surfer.client.get(reverse("mail_oauth:mailboxes")).content

    def test_the_list_costs_a_constant_number_of_queries(self, surfer, connect, django_assert_num_queries):
        for _ in range(5):
            connect(owner=surfer.user)
        surfer.client.get(reverse("mail_oauth:mailboxes"))
        with django_assert_num_queries(3):  # session, user, mailboxes
            surfer.client.get(reverse("mail_oauth:mailboxes"))

    def test_nobody_touches_a_mailbox_of_another(self, surfer, browser_of, other_user):
        surfer.connect()
        row = MailCredentials.objects.get()
        thief = browser_of(other_user).client
        url = reverse("mail_oauth:disconnect", args=[row.pk])
        assert thief.get(url).status_code == 404
        assert thief.post(url).status_code == 404
        reconnect = thief.post(reverse("mail_oauth:start", args=["microsoft"]), {"mailbox": str(row.pk)})
        assert reconnect.status_code == 404
        assert MailCredentials.objects.get().status == Status.CONNECTED

    def test_malformed_ids_are_not_found(self, surfer):
        start = surfer.client.post(reverse("mail_oauth:start", args=["microsoft"]), {"mailbox": "x"})
        assert start.status_code == 404
        refused = reverse("mail_oauth:refused", args=["microsoft", "declined"])
        assert surfer.client.get(refused + "?mailbox=x").status_code == 404
        assert surfer.client.get(reverse("mail_oauth:refused", args=["microsoft", "nonsense"])).status_code == 404

    @pytest.mark.parametrize("name", ["mailboxes", "start"])
    def test_a_visitor_signs_in_first(self, client, provider, name):
        url = reverse(f"mail_oauth:{name}", args=["microsoft"] if name == "start" else [])
        reply = client.post(url) if name == "start" else client.get(url)
        assert reply.status_code == 302
        assert reply["Location"].startswith("/admin/login/")

    def test_every_refusal_has_a_page(self, surfer):
        from mail_oauth.connect.refusals import REFUSALS

        for code in REFUSALS:
            page = surfer.client.get(reverse("mail_oauth:refused", args=["google", code]))
            assert page.status_code == 200
            assert str(REFUSALS[code].title) in page.content.decode().replace("&#x27;", "'")


def test_certificates_to_trust_that_are_away_are_told_on_a_page(surfer, settings, caplog):
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CA_BUNDLE": "/nowhere/company.pem"}
    reply = surfer.follow(callback)
    assert reply["Location"] == reverse("mail_oauth:refused", args=["keycloak", "misconfigured"])
    assert "connect failed: MAIL_OAUTH[\"CA_BUNDLE\"] is '/nowhere/company.pem'" in caplog.text


def test_a_source_of_keys_that_is_away_is_told_on_a_page(surfer, settings):
    """Not by an error 500; and nothing is left of an attempt that could not have been finished."""
    before = settings.MAIL_OAUTH
    settings.FERNET_KEYS, settings.MAIL_OAUTH = [], {**before, "KEYS_FILE": "/nowhere/keys"}
    reply = surfer.client.post(reverse("mail_oauth:start", args=["keycloak"]))
    assert reply["Location"] == reverse("mail_oauth:refused", args=["keycloak", "misconfigured"])
    assert not ConnectAttempt.objects.exists()


class TestAMailboxThatWasImported:
    """Nobody knows whose account it is until its user connects it once more."""

    @pytest.fixture
    def imported(self, connect, surfer):
        return connect(
            email="Ilse@Example.com", owner=surfer.user, issuer="", subject="", last_refreshed_at=None, tenant=""
        )

    @pytest.mark.parametrize("by", ["button", "link"])
    def test_is_the_one_that_its_user_connects_and_is_pinned(self, by, surfer, imported):
        named = {} if by == "button" else {"mailbox": str(imported.pk)}
        surfer.follow(surfer.consent(surfer.start(**named), "ilse@example.com"))
        row = MailCredentials.objects.get()
        assert row.pk == imported.pk
        assert row.subject
        assert row.issuer
        assert row.events.last().kind == EventKind.RECONNECTED

    def test_once_pinned_is_no_other_accounts(self, surfer, imported):
        surfer.connect("microsoft", "ilse@example.com")
        pinned = MailCredentials.objects.get()
        MailCredentials.objects.filter(pk=pinned.pk).update(subject=f"{pinned.subject}0")
        surfer.connect("microsoft", "ilse@example.com")
        assert MailCredentials.objects.count() == 2

    def test_is_no_other_users(self, surfer, imported, browser_of, other_user):
        browser_of(other_user).connect("microsoft", "ilse@example.com")
        assert MailCredentials.objects.count() == 2
        imported.refresh_from_db()
        assert imported.subject == ""

    def test_is_not_that_of_another_provider(self, surfer, imported):
        surfer.connect("google", "ilse@example.com")
        imported.refresh_from_db()
        assert imported.subject == ""
        assert MailCredentials.objects.count() == 2

    def test_of_another_address_is_not_taken_by_the_button(self, surfer, imported):
        surfer.connect("microsoft", "eve@example.com")
        imported.refresh_from_db()
        assert imported.subject == ""
        assert MailCredentials.objects.count() == 2

    def test_of_another_address_is_refused_at_the_link_until_the_user_says_replace(self, surfer, imported):
        reply = surfer.follow(surfer.consent(surfer.start(mailbox=str(imported.pk)), "eve@example.com"))
        assert "wrong_account" in reply["Location"]
        imported.refresh_from_db()
        assert imported.subject == ""
