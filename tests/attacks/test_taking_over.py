"""A row belongs to one user and one account; whoever else turns up gets another row, or a refusal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DataError, IntegrityError, OperationalError
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse

from mail_oauth.connect import linking
from mail_oauth.connect.complete import complete
from mail_oauth.exceptions import ConnectRefused
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.refresh import engine
from tests.concurrency import closing

pytestmark = pytest.mark.django_db


def refused(reply) -> str:
    """The code of the refusal that a reply leads to, or an empty string."""
    return reply["Location"].split("/refused/")[1].split("/")[1] if "/refused/" in reply["Location"] else ""


class TestRowsOfOthers:
    def test_a_typed_address_reaches_no_row_of_another(self, surfer, browser_of, other_user):
        surfer.connect("plain", "ada@example.com", email="box@example.com")
        mine = MailCredentials.objects.get()
        browser_of(other_user).connect("plain", "eve@example.com", email="box@example.com")
        assert MailCredentials.objects.get(user=surfer.user).generation == mine.generation
        assert MailCredentials.objects.get(user=other_user).pk != mine.pk

    def test_a_row_that_changed_hands_meanwhile(self, surfer, other_user):
        surfer.connect()
        row = MailCredentials.objects.get()
        callback = surfer.consent(surfer.start(mailbox=str(row.pk)), "ada@example.com")
        MailCredentials.objects.filter(pk=row.pk).update(user=other_user)
        assert refused(surfer.follow(callback)) == "mailbox_gone"
        row.refresh_from_db()
        assert row.generation == 1

    def test_a_row_at_another_provider_is_not_offered(self, surfer):
        surfer.connect("microsoft")
        row = MailCredentials.objects.get()
        reconnect = surfer.client.post(reverse("mail_oauth:start", args=["google"]), {"mailbox": str(row.pk)})
        assert reconnect.status_code == 404
        page = surfer.client.get(
            reverse("mail_oauth:refused", args=["google", "wrong_account"]) + f"?mailbox={row.pk}"
        )
        assert str(row.pk).encode() not in page.content

    def test_a_refusal_shows_no_mailbox_of_another(self, surfer, browser_of, other_user):
        surfer.connect()
        row = MailCredentials.objects.get()
        url = reverse("mail_oauth:refused", args=["microsoft", "wrong_account"]) + f"?mailbox={row.pk}"
        page = browser_of(other_user).client.get(url).content
        assert b"ada@example.com" not in page
        assert str(row.pk).encode() not in page


class TestAnotherAccount:
    def test_replace_without_a_mailbox_replaces_nothing(self, surfer):
        surfer.connect()
        surfer.connect("microsoft", "eve@example.com", replace="yes")
        assert {row.email for row in MailCredentials.objects.all()} == {"ada@example.com", "eve@example.com"}

    def test_replacing_by_an_account_that_has_a_row(self, surfer):
        surfer.connect("microsoft", "ada@example.com")
        surfer.connect("microsoft", "eve@example.com")
        before = set(MailCredentials.objects.values_list("pk", "email", "generation"))
        row = MailCredentials.objects.get(email="ada@example.com")
        reply = surfer.connect("microsoft", "eve@example.com", mailbox=str(row.pk), replace="yes")
        assert refused(reply) == "already_connected"
        assert set(MailCredentials.objects.values_list("pk", "email", "generation")) == before

    def test_the_account_of_a_row_changes_while_its_consent_is_redeemed(self, surfer, monkeypatch):
        """Another window replaced the account between the look at the row and the write."""
        surfer.connect()
        row = MailCredentials.objects.get()
        callback = surfer.consent(surfer.start(mailbox=str(row.pk)), "ada@example.com")
        found = linking._existing

        def find_then_lose(*args):
            existing = found(*args)
            MailCredentials.objects.filter(pk=row.pk).update(subject="eve", email="eve@example.com", generation=9)
            return existing

        monkeypatch.setattr(linking, "_existing", find_then_lose)
        assert refused(surfer.follow(callback)) == "wrong_account"
        row.refresh_from_db()
        assert (row.subject, row.email, row.generation) == ("eve", "eve@example.com", 9)

    def test_a_pending_reconnect_does_not_undo_a_replacement(self, surfer):
        surfer.connect()
        row = MailCredentials.objects.get()
        old = surfer.consent(surfer.start(mailbox=str(row.pk)), "ada@example.com")
        surfer.connect("microsoft", "eve@example.com", mailbox=str(row.pk), replace="yes")
        assert refused(surfer.follow(old)) == "wrong_account"
        assert MailCredentials.objects.get().email == "eve@example.com"

    def test_subjects_that_differ_in_case_are_two_accounts(self, surfer, provider):
        """A database may compare without regard to case; then the second is refused, never linked."""
        surfer.connect("keycloak")
        row = MailCredentials.objects.get()
        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        with provider.fault(provider.id_token_fault({"sub": row.subject.upper()})):
            surfer.follow(callback)
        row.refresh_from_db()
        assert row.generation == 1


class TestVanishing:
    def test_the_row_is_deleted_while_its_user_is_at_the_provider(self, surfer):
        surfer.connect()
        row = MailCredentials.objects.get()
        callback = surfer.consent(surfer.start(mailbox=str(row.pk)), "ada@example.com")
        row.delete()
        assert surfer.follow(callback).status_code == 400

    def test_the_row_is_deleted_while_the_code_is_redeemed(self, surfer, monkeypatch):
        surfer.connect()
        row = MailCredentials.objects.get()
        callback = surfer.consent(surfer.start(mailbox=str(row.pk)), "ada@example.com")
        monkeypatch.setattr("mail_oauth.views.complete", deleting(row))
        reply = surfer.follow(callback)
        assert refused(reply) == "mailbox_gone"
        assert surfer.client.get(reply["Location"]).status_code == 200
        assert not MailCredentials.objects.exists()  # nothing rose from the dead

    def test_the_row_is_deleted_between_look_and_write(self, surfer, monkeypatch):
        surfer.connect()
        row = MailCredentials.objects.get()
        callback = surfer.consent(surfer.start(mailbox=str(row.pk)), "ada@example.com")
        monkeypatch.setattr(Transitions, "insist", lambda *_, **__: MailCredentials.objects.get(pk=None))
        assert refused(surfer.follow(callback)) == "mailbox_gone"

    def test_the_row_is_deleted_while_it_is_disconnected(self, surfer, monkeypatch):
        surfer.connect()
        row = MailCredentials.objects.get()
        monkeypatch.setattr(Transitions, "insist", lambda *_, **__: MailCredentials.objects.get(pk=None))
        assert surfer.client.post(reverse("mail_oauth:disconnect", args=[row.pk])).status_code == 404


def deleting(row):
    def act(attempt, answer):
        MailCredentials.objects.filter(pk=row.pk).delete()
        return complete(attempt, answer)

    return act


@pytest.mark.django_db(transaction=True)  # a lost connection is given up, and a test's transaction with it
class TestTheDatabaseAfterTheCodeIsSpent:
    @pytest.fixture
    def failing(self, monkeypatch):
        """Saving a mailbox fails so many times with this error."""
        monkeypatch.setattr(engine, "SAVE_PAUSES", (0, 0, 0))

        def failing(error, times):
            left = [times]

            def receiver(**kwargs):
                if left[0]:
                    left[0] -= 1
                    raise error

            pre_save.connect(receiver, sender=MailCredentials, weak=False, dispatch_uid="attack")

        yield failing
        pre_save.disconnect(sender=MailCredentials, dispatch_uid="attack")

    def test_away_for_a_moment(self, surfer, failing):
        failing(OperationalError("away"), 2)
        assert refused(surfer.connect()) == ""
        assert MailCredentials.objects.get().get_access_token()

    @pytest.mark.parametrize("error", [OperationalError("away"), DataError("too long")])
    def test_away_for_long_is_said_and_logged(self, surfer, failing, caplog, error):
        failing(error, 99)
        reply = surfer.connect()
        assert refused(reply) == "not_saved"
        assert b"could not be saved" in surfer.client.get(reply["Location"]).content
        assert "is lost" in caplog.text

    def test_a_collision_that_nobody_can_explain(self, surfer, failing):
        """A database that compares addresses without regard to case says no where this app sees no row."""
        failing(IntegrityError("unique"), 99)
        assert refused(surfer.connect()) == "already_connected"


def test_a_missing_key_costs_no_code(surfer, provider, settings):
    callback = surfer.consent(surfer.start("plain", email="ada@example.com"), "ada@example.com")
    keycloak = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    calls = len(provider.token_calls())
    settings.FERNET_KEYS = ["another key"]
    assert refused(surfer.follow(callback)) == "misconfigured"
    assert refused(surfer.follow(keycloak)) == "misconfigured"
    assert len(provider.token_calls()) == calls


def follow_at_once(surfer, callbacks):
    """Follow each callback in a window of its own; where they lead."""
    session = surfer.client.cookies["sessionid"].value

    def follow(callback):
        client = Client()
        client.cookies["sessionid"] = session
        return client.get(callback)["Location"]

    with ThreadPoolExecutor(len(callbacks)) as pool:
        return list(pool.map(lambda callback: closing(lambda: follow(callback)), callbacks))


@pytest.mark.django_db(transaction=True)
def test_two_windows_connect_one_account_at_once(surfer, provider, separate_connections):
    """Neither is a 500, and both grants lead to one row with the tokens of the last."""
    callbacks = [surfer.consent(surfer.start("keycloak"), "ada@example.com") for _ in range(4)]
    assert follow_at_once(surfer, callbacks) == [reverse("mail_oauth:mailboxes")] * 4
    row = MailCredentials.objects.get()
    assert row.generation == 4
    assert provider.is_valid_access_token(row.get_access_token().reveal())
    assert provider.is_current_refresh_token(row.open_refresh_token().reveal())


@pytest.mark.django_db(transaction=True)
def test_two_consents_race_for_one_row(surfer, separate_connections):
    """One says reconnect, the other replace: the row ends as one account whole, never as a mixture."""
    surfer.connect("keycloak")
    row = MailCredentials.objects.get()
    callbacks = [
        surfer.consent(surfer.start("keycloak", mailbox=str(row.pk)), "ada@example.com"),
        surfer.consent(surfer.start("keycloak", mailbox=str(row.pk), replace="yes"), "eve@example.com"),
    ]
    follow_at_once(surfer, callbacks)
    row.refresh_from_db()
    info = surfer.provider.access_info(row.get_access_token().reveal())
    assert info.email == row.email == "eve@example.com"
    assert info.subject == row.subject
    assert row.status == Status.CONNECTED
    assert not ConnectAttempt.objects.exists()


def test_a_row_that_names_nobody_is_taken_over_by_no_account_of_another_address(surfer, connect):
    """Such rows an alias has that named nobody so far, and an import makes: the address is what is known of them."""
    row = connect("keycloak", email="ada@example.com", owner=surfer.user, subject="", issuer="")
    reply = surfer.connect("keycloak", "eve@example.com", mailbox=str(row.pk))
    assert refused(reply) == "wrong_account"
    row.refresh_from_db()
    assert row.generation == 1


def test_a_refusal_of_ones_own_code_has_a_page(surfer, monkeypatch):
    def own(*_):
        raise ConnectRefused("my very own code!")

    monkeypatch.setattr("mail_oauth.views.complete", own)
    assert refused(surfer.connect()) == "provider_error"
