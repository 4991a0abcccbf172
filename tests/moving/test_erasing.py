"""`erase`: every grant of a user ends, nothing names them afterwards, and no import brings them back."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from time import sleep

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import pre_delete
from django.urls import reverse
from django.utils import timezone

from mail_oauth.connect import disconnect as disconnecting
from mail_oauth.connect.disconnect import REVOCATION_ATTEMPTS, disconnect, retry_revocation
from mail_oauth.encryption import new_key
from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import (
    BulkItem,
    BulkJob,
    ConnectAttempt,
    CredentialEvent,
    ErasedEvent,
    ErasedMailbox,
    MailCredentials,
    ProviderFault,
)
from mail_oauth.moving import erasing
from mail_oauth.moving.sources import json_lines
from mail_oauth.moving.users import Users
from mail_oauth.providers import Revocation
from mail_oauth.refresh.engine import refresh
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.prune import prune_events
from tests.concurrency import closing
from tests.mailboxes import stored
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db


@pytest.fixture
def erase(run, user):
    return lambda name=None: run("erase", "--no-input", "--user", name or user.username)


def become(row, **columns):
    """Change a mailbox as nobody can from outside."""
    MailCredentials.objects.filter(pk=row.pk).update(**columns)


class TestEachGrantEnds:
    def test_and_no_row_is_left(self, connect, erase, provider, other_user):
        token = connect("google", email="ada@example.com").refresh_now()
        connect("microsoft", email="ada@example.com")
        others = connect("google", owner=other_user)
        code, text = erase()
        assert code == 0
        assert "ada@example.com  google  revoked\n" in text
        assert "ada@example.com  microsoft  its provider cannot be told" in text
        assert not provider.is_valid_access_token(token.reveal())
        assert MailCredentials.objects.get() == others

    @pytest.mark.parametrize("live", [0, 1])
    @pytest.mark.parametrize("also", ["pinned", "unpinned", "tokenless"])
    def test_whatever_another_mailbox_of_the_user_says_of_its_account(self, live, also, connect, erase, provider):
        rows = sorted((connect("google", email="ada@example.com"), connect("google")), key=lambda row: row.pk)
        living, dead = rows[live], rows[1 - live]
        token = living.refresh_now()
        account = {"subject": ""} if also == "unpinned" else {"issuer": living.issuer, "subject": living.subject}
        lost = None if also == "tokenless" else dead.sealed("refresh_token", Secret("1//dead-long-ago"))
        email = living.email if also == "unpinned" else dead.email
        become(dead, **account, email=email, refresh_token=lost, status=Status.NEEDS_REAUTH)
        code, text = erase()
        assert not provider.is_valid_access_token(token.reveal())
        assert (code, text.count("  revoked\n")) == (0, 1 if also == "tokenless" else 2)

    def test_whatever_another_user_claims(self, connect, erase, report, lines, other_user, provider):
        token = connect("google", email="ada@example.com").refresh_now()
        claim = {"provider": "google", "email": "ADA@example.com", "refresh_token": "1//anything"}
        report("jsonl", lines({"user": other_user.pk, **claim}))
        assert "  revoked\n" in erase()[1]
        assert not provider.is_valid_access_token(token.reveal())
        assert MailCredentials.objects.get().user == other_user

    @pytest.mark.parametrize("imported", [False, True])
    def test_but_one_that_another_user_lives_on(self, imported, connect, erase, other_user, provider):
        other = connect("google", owner=other_user, email="ada@example.com")
        become(
            connect("google"), issuer=other.issuer, subject="" if imported else other.subject, email=other.email
        )
        code, text = erase()
        assert (code, "  its grant stays: another user's mailbox lives on it\n" in text) == (0, True)
        assert stored(other).refresh_now()

    def test_also_where_the_other_users_own_token_was_refused(self, connect, erase, other_user):
        other, mine = connect("google", owner=other_user), connect("google")
        become(mine, issuer=other.issuer, subject=other.subject)
        become(other, status=Status.NEEDS_REAUTH)
        assert "  revoked\n" in erase()[1]

    def test_or_is_said_not_to_have_ended(self, connect, erase, provider):
        connect("google")
        with provider.fault(Fault.html(503), endpoint="revoke"):
            code, text = erase()
        assert code == 1
        assert "did not confirm" in text
        assert not MailCredentials.objects.exists()

    def test_with_what_a_refresh_brings_that_is_under_way(self, connect, erase, provider, monkeypatch):
        """Who holds the lease has it still, when the erasure begins, and saves a rotated pair while that waits."""
        row, tokens = connect("keycloak"), []
        claimed = MailCredentials.objects.claim(row.pk, generation=row.generation)

        def wait(seconds):
            tokens.append(refresh(claimed, Transitions(MailCredentials.objects)).token)

        monkeypatch.setattr(disconnecting, "sleep", wait)
        assert "  revoked\n" in erase()[1]
        [token] = tokens
        assert not provider.is_valid_access_token(token.reveal())
        assert not MailCredentials.objects.exists()

    def test_though_a_worker_died_over_it(self, connect, erase, monkeypatch):
        row = connect("keycloak")
        become(row, lease_owner="dead", refresh_at=timezone.now() - timedelta(seconds=1))
        monkeypatch.setattr(disconnecting, "sleep", lambda seconds: pytest.fail("it waits for nobody"))
        assert "  revoked\n" in erase()[1]


class TestARunThatWasInterrupted:
    def test_tells_the_whole_story_when_it_is_run_again(self, connect, run, erase, user, provider, capsys):
        rows = sorted((connect("google"), connect("keycloak")), key=lambda row: row.pk)
        tokens, told = [row.refresh_now() for row in rows], []

        def refuse(**_):
            raise RuntimeError("the database is gone")

        pre_delete.connect(refuse, sender=MailCredentials)
        try:
            with (
                provider.fault(Fault.html(503), endpoint="revoke"),
                pytest.raises(RuntimeError),
            ):
                erasing.erase(user, tell=told.append)
        finally:
            pre_delete.disconnect(refuse, sender=MailCredentials)
        assert [fate.revocation for fate in told] == [Revocation.FAILED] * 2, "told before anything is deleted"
        assert MailCredentials.objects.count() == 2
        assert not ErasedEvent.objects.exists()
        code, text = erase()
        assert (code, text.count("  revoked\n")) == (0, 2)
        assert not any(provider.is_valid_access_token(token.reveal()) for token in tokens)

    def test_tells_of_what_was_disconnected_from_its_history(self, connect, erase, provider):
        ended, given_up, untold = connect("keycloak"), connect("keycloak"), connect("microsoft")
        for row in (ended, untold):
            disconnect(row)
        with provider.fault(Fault.html(503), endpoint="revoke"):
            disconnect(given_up)
            for _ in range(REVOCATION_ATTEMPTS - 1):
                retry_revocation(stored(given_up))
        assert stored(given_up).refresh_token is None
        code, text = erase()
        assert code == 1
        assert f"{ended.email}  keycloak  revoked\n" in text
        assert f"{given_up.email}  keycloak  its provider did not confirm" in text
        assert f"{untold.email}  microsoft  its provider cannot be told" in text

    @pytest.mark.parametrize(
        ("gone", "line"), [(False, "its grant stays"), (True, "had been disconnected; nobody")]
    )
    def test_says_that_a_grant_stays_while_another_user_lives_on_it(self, gone, line, connect, erase, other_user):
        first, second = connect("google"), connect("google", owner=other_user)
        become(second, issuer=first.issuer, subject=first.subject)
        assert disconnect(first) is Revocation.KEPT
        if gone:
            second.delete()
        assert f"{first.email}  google  {line}" in erase()[1]


def left_of(user, rows, address):
    """Every row of this app that still names the user, a mailbox or an address."""
    names = [address, f"user:{user.pk}", *(str(row.pk) for row in rows)]
    found = []
    for model in apps.get_app_config("mail_oauth").get_models():
        people = [field.attname for field in model._meta.concrete_fields if field.related_model is type(user)]
        for values in model._base_manager.values():
            text = json.dumps(values, default=str)
            if any(name in text for name in names) or user.pk in {values[each] for each in people}:
                found.append((model.__name__, values))
    return found


class TestNothingNamesThePerson:
    def test_in_any_table(self, connect, erase, user, other_user, provider, settings, surfer):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NOTIFY": "all"}
        row, others = connect("microsoft", email="ada@example.com"), connect(owner=other_user)
        provider.revoke(row.email)
        with pytest.raises(MailboxError):
            row.refresh_now()
        surfer.start(email="ada@example.com")
        CredentialEvent.objects.create(credentials=others, kind=EventKind.PAUSED, actor=user)
        job = BulkJob.objects.create(operation="refresh_now", actor=user, total=1)
        BulkItem.objects.create(job=job, mailbox=row.pk, state="failed", text="sign-in of ada@example.com failed")
        ProviderFault.objects.create(provider="microsoft", trouble="reauth", mailbox=row.pk)
        named = {name for name, _ in left_of(user, [row], "ada@example.com")}
        assert named == {
            "MailCredentials", "CredentialEvent", "ConnectAttempt", "ConnectPace", "Episode", "Notice",
            "BulkJob", "BulkItem", "ProviderFault",
        }  # fmt: skip
        erase()
        assert left_of(user, [row], "ada@example.com") == []
        assert job.items.count() == 1, "a job's numbers stay"

    def test_nor_is_a_time_of_day_left(self, connect, erase):
        connect("google").refresh_now()
        erase()
        kept = ErasedEvent.objects.order_by("pk")
        assert [event.kind for event in kept] == ["refreshed", "disconnected", "revoked"]
        columns = {field.name for field in ErasedEvent._meta.get_fields()}
        assert columns == {"id", "happened_on", "provider", "kind", "reason"}

    def test_in_the_admins_log(self, connect, erase, admin_user):
        row = connect(email="ada@example.com")
        logged(row, admin_user, "of ada@example.com")
        erase()
        assert "ada" not in "".join(map(str, LogEntry.objects.values_list("object_repr", "change_message")))

    @pytest.mark.parametrize("how", ["one", "many"])
    def test_whose_mailbox_was_deleted_in_the_admin_before(self, how, connect, admin_client, admin_user):
        row = connect(email="ada@example.com")
        logged(row, admin_user, "of ADA@example.com")
        logged(row, admin_user, "token shown to staff: access_token.")
        if how == "one":
            admin_client.post(reverse("admin:mail_oauth_mailcredentials_delete", args=[row.pk]), {"post": "yes"})
        else:
            action = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
            admin_client.post(reverse("admin:mail_oauth_mailcredentials_changelist"), action)
        assert not MailCredentials.objects.exists()
        assert list(
            LogEntry.objects.order_by("pk").values_list("action_flag", "object_repr", "change_message")
        ) == [
            (CHANGE, "(deleted)", ""),
            (CHANGE, "(deleted)", "token shown to staff: access_token."),
            (DELETION, "(deleted)", ""),
        ]
        assert set(LogEntry.objects.values_list("object_id", flat=True)) == {str(row.pk)}

    def test_and_what_comes_meanwhile_goes_too(self, connect, user, surfer):
        """A consent that was begun before is void; a mailbox that is connected all the same goes the same way."""
        connect("google")
        url, came = surfer.start(), []

        def meanwhile(fate):
            if not came:
                surfer.follow(surfer.consent(url, "late@example.com"))
                came.append(connect("keycloak", email="later@example.com"))

        report = erasing.erase(user, tell=meanwhile)
        assert [mailbox.provider for mailbox in report.mailboxes] == ["google", "keycloak"]
        assert not MailCredentials.objects.exists()
        assert not ConnectAttempt.objects.exists()


def logged(row, by, message):
    kind = ContentType.objects.get_for_model(MailCredentials)
    LogEntry.objects.create(
        user=by, content_type=kind, object_id=str(row.pk), object_repr=str(row), action_flag=CHANGE,
        change_message=message,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_what_is_erased_answers_from_no_cache(locmem_cache, connect, run, user, settings):
    providers = settings.MAIL_OAUTH["PROVIDERS"]
    microsoft = {**providers["microsoft"], "RESOURCES": {"graph": ["https://graph.microsoft.com/Mail.Send"]}}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "microsoft": microsoft}}
    row = connect()
    row.get_access_token()
    row.get_access_token(resource="graph")
    held = [key for key in cache._cache if str(row.pk) in key]
    assert [len(cache._cache[key]) > 200 for key in held] == [True] * 2
    cache.set(f"mail_oauth:parked:{row.pk}", b"a parked pair")
    run("erase", "--no-input", "--user", user.pk)
    assert [len(cache._cache[key]) < 60 for key in held] == [True] * 2  # tombstones
    assert cache.get(f"mail_oauth:parked:{row.pk}") is None
    with pytest.raises(MailCredentials.DoesNotExist):
        MailCredentials.objects.get_access_token(row.pk)


class TestAnImportBringsNothingBack:
    @pytest.fixture
    def entry(self, user):
        return lambda email, **also: {
            "user": user.pk, "provider": "google", "email": email, "refresh_token": "1//of-the-other-one", **also,
        }  # fmt: skip

    @pytest.fixture
    def gone(self, connect, erase):
        row = connect("google", email="Ada@example.com", sign_in_address="Ada@corp.example")
        erase()
        return row

    def test_under_none_of_its_names(self, gone, entry, lines, report, run):
        account = {"issuer": gone.issuer, "subject": gone.subject}
        file = lines(entry("ADA@example.com"), entry("ada@corp.example"), entry("new@example.com", **account))
        assert "left alone: it was erased here 3" in " ".join(run("import", "jsonl", file, "--dry-run")[1].split())
        assert outcomes(report("jsonl", file)) == ["erased"] * 3
        assert run("import", "jsonl", file)[0] == 0
        assert not MailCredentials.objects.exists()

    def test_but_what_is_another_mailbox(self, gone, entry, lines, report, other_user):
        others = entry("ada@example.com", user=other_user.pk), entry("ada@example.com", provider="keycloak")
        assert outcomes(report("jsonl", lines(entry("bob@example.com"), *others))) == ["imported"] * 3

    @pytest.mark.parametrize(
        ("typed", "others"),
        [(True, ["ada@example.com", "new@example.com"]), (False, ["team@example.com"])],
        ids=["the shared one was erased", "the opener's was erased"],
    )
    def test_but_what_the_same_account_opens(self, typed, others, connect, erase, entry, lines, report):
        """A shared mailbox is not its opener's, nor the other way."""
        row = connect("keycloak", email="one@example.com", sign_in_address="ada@example.com", address_typed=typed)
        erase()
        account = {
            "provider": "keycloak",
            "issuer": row.issuer,
            "subject": row.subject,
            "address_typed": not typed,
        }
        for email in others:
            assert outcomes(report("jsonl", lines(entry(email, **account)))) == ["imported"]
            MailCredentials.objects.all().delete()
        assert outcomes(report("jsonl", lines(entry("one@example.com", **account)))) == ["erased"]

    def test_in_a_dry_run_as_in_the_run(self, gone, entry, lines, report, monkeypatch):
        monkeypatch.setattr(json_lines, "PAGE", 1)
        account = {"issuer": "https://issuer.example", "subject": "ada"}
        file = lines(entry("new@example.com", **account), entry("ada@example.com", **account))
        told = outcomes(report("jsonl", file, "--dry-run"))
        assert told == outcomes(report("jsonl", file)) == ["imported", "here"]

    def test_until_its_user_has_connected_it_again(self, gone, entry, lines, report, surfer):
        surfer.connect("google", account="ada@example.com")
        assert outcomes(report("jsonl", lines(entry("ada@example.com")))) == ["here"]
        disconnect(MailCredentials.objects.get())
        assert outcomes(report("jsonl", lines(entry("ada@example.com")))) == ["disconnected"]

    def test_nor_what_was_disconnected_before(self, connect, erase, entry, lines, report):
        disconnect(connect("google", email="ada@example.com"))
        erase()
        assert outcomes(report("jsonl", lines(entry("ada@example.com")))) == ["erased"]

    def test_after_the_keys_were_changed_while_both_were_there(self, gone, entry, lines, report, settings):
        old, new = settings.FERNET_KEYS[0], new_key()
        file = lines(entry("ada@example.com"), entry("bob@example.com"))
        settings.FERNET_KEYS = [new, old]
        assert outcomes(report("jsonl", file)) == ["erased", "imported"]
        settings.FERNET_KEYS = [new]
        assert outcomes(report("jsonl", file))[0] == "erased"

    def test_for_as_long_as_it_meets_it(self, gone, entry, lines, report, settings):
        long_ago = timezone.now().date() - timedelta(days=settings.MAIL_OAUTH.get("EVENT_DAYS", 90) + 1)
        ErasedMailbox.objects.update(met_on=long_ago)
        report("jsonl", lines(entry("ada@example.com")))
        prune_events()
        assert outcomes(report("jsonl", lines(entry("ada@example.com")))) == ["erased"]
        ErasedMailbox.objects.update(met_on=long_ago)
        prune_events()
        assert not ErasedMailbox.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("separate_connections")
def test_a_page_of_an_import_that_is_being_saved_is_waited_for_and_erased(connect, user):
    connect("keycloak")
    begun = Event()

    def save_page():
        with transaction.atomic():
            Users("pk", "default").named([str(user.pk)], lock=True)
            connect("google")
            begun.set()
            sleep(0.5)  # so long an erasure has time to be over before this, if it did not wait

    def import_meanwhile(fate):
        if not begun.is_set():
            pages.append(pool.submit(closing, save_page))
            assert begun.wait(30)

    pages: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        report = erasing.erase(user, tell=import_meanwhile)
    assert [page.result() for page in pages] == [None]
    assert [mailbox.provider for mailbox in report.mailboxes] == ["keycloak", "google"]
    assert not MailCredentials.objects.exists()


class TestWhoIsMeant:
    def test_a_user_without_a_mailbox(self, erase):
        assert "had no mailbox" in erase()[1]

    @pytest.mark.parametrize("nobody", ["nobody", "99999999", "9" * 50])
    def test_nobody(self, nobody, erase):
        code, text = erase(nobody)
        assert code == 1
        assert "no user" in text

    def test_who_could_be_two_is_neither(self, connect, erase, user, other_user):
        connect()
        type(user).objects.filter(pk=other_user.pk).update(username=str(user.pk))
        assert erase(str(user.pk))[0] == 1
        assert MailCredentials.objects.exists()

    def test_asks_first(self, connect, run, user, monkeypatch):
        connect()
        monkeypatch.setattr("builtins.input", lambda _: "no")
        assert run("erase", "--user", user.pk)[0] == 1
        assert MailCredentials.objects.exists()
        monkeypatch.setattr("builtins.input", lambda _: "yes")
        run("erase", "--user", user.pk)
        assert not MailCredentials.objects.exists()


def test_anonymous_events_go_in_their_time(db):
    today = timezone.now().date()
    for days in (1, 100):
        ErasedEvent.objects.create(happened_on=today - timedelta(days=days), provider="google", kind="refreshed")
    prune_events()
    assert ErasedEvent.objects.get().happened_on == today - timedelta(days=1)
