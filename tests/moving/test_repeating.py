"""An import is repeated while both applications refresh: neither side's newest token is lost."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.moving import importing
from mail_oauth.moving.sources import json_lines
from mail_oauth.providers import provider_for
from mail_oauth.refresh import engine
from mail_oauth.signals import grant_ending
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.concurrency import closing, meanwhile, together
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db

ADA = "ada@example.com"


def held() -> str:
    """The refresh token of the one mailbox."""
    return MailCredentials.objects.get().open_refresh_token().reveal()


def refreshed() -> bool:
    """Whether its grant lives."""
    try:
        MailCredentials.objects.get().refresh_now()
    except MailboxError:
        return False
    return True


@pytest.fixture
def without_age(user):
    """A grant as a source has it that says of no moment."""

    def make(grant, **also):
        said = {
            "user": user.pk,
            "provider": "microsoft",
            "email": grant.email,
            "refresh_token": grant.refresh_token,
        }
        return {**said, **also}

    return make


@pytest.fixture
def of_an_hour_and_more(without_age):
    """The same with the end of an access token that lives 85 minutes, as Microsoft's may."""

    def make(grant):
        ends = grant.issued_at + timedelta(minutes=85)
        return without_age(grant, access_token=grant.access_token, expires_at=ends.isoformat())

    return make


class TestWhatWasGotHere:
    """No import puts a refresh token back that the provider has replaced since."""

    def test_stays_where_an_administrator_must_act(self, of_an_hour_and_more, granted, lines, report, provider):
        first = granted(minutes_ago=5)
        file = lines(of_an_hour_and_more(first))
        assert outcomes(report("jsonl", file, "--verify")) == ["imported"]
        with provider.fault(Fault.oauth_error("invalid_grant", aadsts=53003), endpoint="token"):
            assert not refreshed()
        assert MailCredentials.objects.get().status == Status.NEEDS_ADMIN
        assert outcomes(report("jsonl", file)) == ["here"]
        assert held() != first.refresh_token
        assert refreshed()

    def test_stays_where_it_came_with_another_resources_token(
        self, granted, line_of, lines, report, provider, settings, locmem_cache
    ):
        microsoft = settings.MAIL_OAUTH["PROVIDERS"]["microsoft"]
        microsoft = {**microsoft, "RESOURCES": {"graph": ["https://graph.microsoft.com/Mail.Send"]}}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"microsoft": microsoft}}
        grant = granted(email=ADA, minutes_ago=50)
        scope = " ".join(provider_for("microsoft").consented_scopes)
        grant.refresh_token = provider.grant(ADA, personality="microsoft", scope=scope)["refresh_token"]
        report("jsonl", lines(line_of(grant)))
        MailCredentials.objects.get().get_access_token(resource="graph")
        ours = held()
        assert ours != grant.refresh_token
        assert outcomes(report("jsonl", lines(line_of(granted(email=ADA, minutes_ago=20))))) == ["here"]
        assert held() == ours

    def test_stays_where_it_came_with_a_reply_that_was_of_no_use(
        self, without_age, granted, lines, report, provider
    ):
        grant = granted()
        file = lines(without_age(grant))
        report("jsonl", file)
        with provider.fault(Fault.reply_without("access_token"), endpoint="token"):
            assert not refreshed()
        assert held() != grant.refresh_token
        assert outcomes(report("jsonl", file)) == ["here"]
        assert refreshed()

    def test_stays_before_a_moment_of_nobody_knows_which_zone(self, granted, without_age, lines, report, connect):
        connect(email=ADA).refresh_now()
        MailCredentials.objects.update(status=Status.NEEDS_ADMIN)
        ours = held()
        in_tokyo = (timezone.now() + timedelta(hours=9, minutes=-30)).replace(tzinfo=None)
        entry = without_age(granted(email=ADA), access_token="an-older-one", expires_at=in_tokyo.isoformat())
        assert outcomes(report("jsonl", lines(entry))) == ["here"]
        assert held() == ours

    def test_goes_for_what_is_surely_newer(self, granted, line_of, lines, report, connect, provider):
        connect(email=ADA)
        MailCredentials.objects.update(
            status=Status.NEEDS_REAUTH, last_refreshed_at=timezone.now() - timedelta(minutes=5)
        )
        assert outcomes(report("jsonl", lines(line_of(granted(email=ADA, minutes_ago=1))))) == ["updated"]
        assert refreshed()


class TestWhatASourceHasBrought:
    """It is replaced by what stands there now, until it is used here."""

    def test_gives_way_to_one_with_a_shorter_life(self, of_an_hour_and_more, granted, lines, report, provider):
        """The other application refreshes early, and this time its access token lives for an hour only."""
        first = granted(minutes_ago=30)
        entry = of_an_hour_and_more(first)
        report("jsonl", lines(entry))
        endpoint, scope = (
            provider_for("microsoft").token_endpoint(),
            " ".join(provider_for("microsoft").requested_scopes),
        )
        reply = json.loads(endpoint.refresh(Secret(first.refresh_token), scope=scope).body)
        ends = timezone.now() + timedelta(minutes=51)
        entry |= {name: reply[name] for name in ("access_token", "refresh_token")} | {
            "expires_at": ends.isoformat()
        }
        [result] = report("jsonl", lines(entry), "--verify")
        assert (result["outcome"], result["proof"]) == ("updated", "proven")

    def test_gives_way_where_nothing_has_an_age(self, without_age, granted, lines, report, provider):
        report("jsonl", lines(without_age(granted(email=ADA))))
        second = granted(email=ADA)
        assert outcomes(report("jsonl", lines(without_age(second)))) == ["updated"]
        assert held() == second.refresh_token
        assert outcomes(report("jsonl", lines(without_age(second)))) == ["here"]

    def test_gives_way_to_whatever_else_once_it_was_refused(self, line_of, granted, lines, report, provider):
        good = line_of(granted())
        report("jsonl", lines({**good, "refresh_token": "mistyped"}), "--verify")
        [result] = report("jsonl", lines(good), "--verify")
        assert (result["outcome"], result["proof"]) == ("updated", "proven")

    def test_does_not_give_way_to_what_had_ended_by_then(self, without_age, granted, lines, report, provider):
        fresh = granted(email=ADA)
        report("jsonl", lines(without_age(fresh)))
        ancient = without_age(fresh, refresh_token="ancient", expires_at="2001-01-01T00:00:00Z")
        assert outcomes(report("jsonl", lines(ancient))) == ["here"]
        assert outcomes(report("jsonl", lines(ancient, without_age(fresh)))) == ["here", "here"]
        assert held() == fresh.refresh_token

    def test_of_another_source_gives_way_to_what_is_newer_alone(
        self, without_age, line_of, granted, lines, report
    ):
        report("jsonl", lines(line_of(granted(email=ADA, minutes_ago=30))))
        CredentialEvent.objects.filter(kind=EventKind.IMPORTED).update(reason="redis")
        for older in (without_age(granted(email=ADA)), line_of(granted(email=ADA, minutes_ago=31))):
            assert outcomes(report("jsonl", lines(older))) == ["here"]
        assert outcomes(report("jsonl", lines(line_of(granted(email=ADA, minutes_ago=29))))) == ["updated"]

    @pytest.mark.parametrize("at_once", [1, 500])
    def test_twice_changes_with_no_run(self, at_once, without_age, granted, lines, report, monkeypatch):
        """Two entries of one mailbox, neither with an age: it stays with the one that it came from."""
        monkeypatch.setattr(json_lines, "PAGE", at_once)
        file = lines(without_age(granted(email=ADA)), without_age(granted(email=ADA)))
        assert outcomes(report("jsonl", file)) == ["imported", "here"]
        before = MailCredentials.objects.get()
        assert outcomes(report("jsonl", file)) == ["here", "here"]
        assert MailCredentials.objects.get().generation == before.generation


@pytest.mark.parametrize("at_once", [1, 500])
@pytest.mark.parametrize("sharing", ["allow", "refuse"])
def test_a_dry_run_tells_what_a_run_does(
    at_once, sharing, line_of, granted, lines, run, provider, settings, user, other_user, monkeypatch
):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": sharing}
    monkeypatch.setattr(json_lines, "PAGE", at_once)
    grant, account = granted(), {"issuer": "https://issuer.example", "subject": "ada"}
    entries = [
        line_of(grant),
        line_of(grant, email=grant.email.upper()),
        line_of(grant, user=other_user.pk),
        line_of(granted(), **account),
        line_of(granted(minutes_ago=20), **account),
        line_of(granted(), user=other_user.pk, **account),
        line_of(grant, address_typed=True, **account),
        line_of(granted(), mail_oauth=1, sign_in_address="Ada@corp.example"),
        line_of(granted(), email="ada@corp.example"),
    ]
    entries.append({**entries[3], "subject": "somebody-else"})
    file = lines(*entries)
    code, text = run("import", "jsonl", file, "--dry-run")
    assert not MailCredentials.objects.exists()
    real_code, real_text = run("import", "jsonl", file)
    assert (code, text.replace("would be", "outcome ")) == (real_code, real_text)


def test_a_dry_run_names_no_mailbox_that_is_not_there(line_of, granted, lines, report):
    entry = line_of(granted())
    assert [each["mailbox"] for each in report("jsonl", lines(entry, entry), "--dry-run")] == [None, None]


class TestOneMailboxOfManyNames:
    @pytest.fixture
    def least(self, user):
        return lambda email: {"user": user.pk, "provider": "microsoft", "email": email, "refresh_token": "a-token"}

    def test_stays_disconnected_under_its_other_name(self, least, lines, report, connect):
        connect(email="ada@contoso.com", sign_in_address="Ada@contoso.onmicrosoft.com", status=Status.DISCONNECTED)
        assert outcomes(report("jsonl", lines(least("ada@Contoso.onmicrosoft.com")))) == ["disconnected"]

    def test_is_not_the_shared_one_that_its_user_opens(self, least, lines, report, connect):
        connect(email="team@contoso.com", sign_in_address=ADA, address_typed=True, status=Status.DISCONNECTED)
        assert outcomes(report("jsonl", lines(least(ADA)))) == ["imported"]

    def test_is_not_another_of_its_user_by_its_own_name(self, least, lines, report, connect):
        connect(email=ADA, sign_in_address="a.lovelace@example.com", status=Status.DISCONNECTED)
        connect(email="a.lovelace@example.com", sign_in_address="a.lovelace@example.com")
        assert outcomes(report("jsonl", lines(least("a.lovelace@example.com")))) == ["here"]

    @pytest.mark.parametrize("again", ["JÖRG@example.com", "jörg@example.com"])
    def test_is_found_by_letters_that_databases_do_not_make_small(self, again, least, lines, report, provider):
        assert outcomes(report("jsonl", lines(least("JÖRG@example.com")))) == ["imported"]
        assert outcomes(report("jsonl", lines(least(again)))) == ["here"]
        MailCredentials.objects.update(status=Status.DISCONNECTED)
        assert outcomes(report("jsonl", lines(least(again)))) == ["disconnected"]


def test_a_grant_of_which_little_is_known_does_not_end_at_once(without_age, granted, lines, report):
    report("jsonl", lines(without_age(granted(), expires_at="2024-01-01T00:00:00Z")))
    heard = []

    def hear(credentials, **_):
        heard.append(credentials)

    grant_ending.connect(hear)
    reconcile_cache()
    grant_ending.disconnect(hear)
    assert heard == []
    assert MailCredentials.objects.get().refresh_token_expires_at > timezone.now()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("separate_connections")
class TestAtTheSameMoment:
    def test_a_worker_keeps_what_it_gets_for_its_claim(
        self, line_of, granted, lines, report, provider, monkeypatch
    ):
        """It claims the mailbox after the import has looked, and before that writes."""
        if connection.vendor == "sqlite":
            pytest.skip("an import that has locked its users lets nobody else write")
        report("jsonl", lines(line_of(granted(email=ADA, minutes_ago=50))))
        newer = granted(email=ADA, minutes_ago=45)
        claimed, written = threading.Event(), threading.Event()
        apply_many = importing.apply_many

        def refresh():
            def answer():
                claimed.set()
                written.wait()

            with provider.fault(meanwhile(answer), endpoint="token"):
                MailCredentials.objects.get().refresh_now()

        worker = threading.Thread(target=lambda: closing(refresh))

        def late(*args, **kwargs):
            worker.start()
            claimed.wait()
            return apply_many(*args, **kwargs)

        monkeypatch.setattr(importing, "apply_many", late)
        try:
            [result] = report("jsonl", lines(line_of(newer)))
        finally:
            written.set()
            worker.join()
        assert (result["outcome"], result["reason"]) == ("here", "changed at this moment")
        row = MailCredentials.objects.get()
        assert row.last_refreshed_at is not None
        assert held() != newer.refresh_token

    def test_who_connects_and_an_import_wait_for_each_other_in_one_order(
        self, line_of, granted, lines, run, settings, browser_of, user, monkeypatch
    ):
        """Where one user alone may hold a mailbox, both take its turn, and both lock the user: no deadlock has to be broken."""
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "refuse"}
        monkeypatch.setattr(engine, "SAVE_PAUSES", ())  # nothing is tried again
        for number in range(8):
            email = f"same{number}@example.com"
            file = lines(line_of(granted(email=email)))
            surfer = browser_of(user)
            url = surfer.start()
            tasks = [
                lambda file=file: run("import", "jsonl", file),
                lambda surfer=surfer, url=url, email=email: surfer.follow(surfer.consent(url, email)),
            ]
            together(2, lambda tasks=tasks: tasks.pop()())
            assert MailCredentials.objects.filter(email=email).count() == 1

    def test_of_two_imports_one_gives_a_mailbox_to_its_user(
        self, line_of, granted, lines, run, settings, other_user, provider
    ):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "refuse"}
        same = [granted(email=f"same{number}@example.com") for number in range(20)]
        files = [lines(*map(line_of, same)), lines(*(line_of(each, user=other_user.pk) for each in same))]
        codes = together(2, lambda: run("import", "jsonl", files.pop())[0])
        assert 1 in codes
        assert sorted(MailCredentials.objects.values_list("email", flat=True)) == sorted(
            each.email for each in same
        )
