"""`export`, and back again; `erase`, after which nothing names a user."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.utils import timezone

from mail_oauth.encryption import keyring, new_key
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import ConnectAttempt, CredentialEvent, ErasedEvent, MailCredentials
from mail_oauth.testing.faults import Fault
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db


class TestASealedExport:
    @pytest.fixture
    def exported(self, run, tmp_path):
        def write(*options):
            file = tmp_path / "export.jsonl"
            file.unlink(missing_ok=True)
            assert run("export", "--output", file, *options)[0] == 0
            return file

        return write

    def test_holds_nothing_in_clear_but_its_key(self, connect, exported, user):
        row = connect(email="ada@example.com")
        file = exported()
        [line] = map(json.loads, file.read_text().splitlines())
        assert line.keys() == {"mail_oauth", "id", "key", "sealed"}
        assert line["key"] == keyring().keys[0].fingerprint
        assert "ada@example.com" not in file.read_text()
        assert row.open_refresh_token().reveal() not in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600

    def test_is_imported_as_it_was(self, connect, exported, report, provider):
        rows = [connect(alias) for alias in ("google", "microsoft", "keycloak")]
        before = [MailCredentials.objects.get(email=row.email) for row in rows]
        file = exported()
        MailCredentials.objects.all().delete()
        assert set(outcomes(report("jsonl", file))) == {"imported"}
        for row in before:
            back = MailCredentials.objects.get(email=row.email)
            for name in "user provider issuer subject email use_oauth granted_scopes token_expiry".split():
                assert getattr(back, name) == getattr(row, name), name
            assert back.open_refresh_token() == row.open_refresh_token()
            assert provider.is_valid_access_token(back.refresh_now().reveal())

    def test_brought_back_to_a_site_that_has_it_changes_nothing(self, connect, exported, report):
        row = connect()
        assert outcomes(report("jsonl", exported())) == ["here"]
        assert MailCredentials.objects.get().generation == row.generation

    def test_opens_with_no_other_keys(self, connect, exported, report, settings):
        connect()
        file, key = exported(), keyring().keys[0].fingerprint
        settings.FERNET_KEYS = [new_key()]
        [result] = report("jsonl", file)
        assert (result["outcome"], result["reason"]) == ("unreadable", f"key_missing {key}")

    def test_a_line_that_was_given_another_name_does_not_open(self, connect, exported, report):
        connect(), connect()
        file = exported()
        first, second = map(json.loads, file.read_text().splitlines())
        file.write_text(json.dumps({**first, "id": second["id"]}))
        [result] = report("jsonl", file)
        assert (result["outcome"], result["reason"]) == ("unreadable", "moved")

    def test_of_one_user_or_provider_and_of_nobody_who_has_left(self, connect, exported, other_user):
        connect("google"), connect("microsoft"), connect(owner=other_user), connect(status=Status.DISCONNECTED)
        assert len(exported().read_text().splitlines()) == 3
        assert len(exported("--user", "mallory").read_text().splitlines()) == 1
        assert len(exported("--provider", "google").read_text().splitlines()) == 1

    def test_goes_to_standard_output(self, connect, run):
        connect()
        code, text = run("export")
        [line] = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert (code, bool(line["sealed"])) == (0, True)

    def test_names_what_does_not_open(self, connect, run, settings, tmp_path):
        bad = connect()
        settings.FERNET_KEYS = [new_key()]
        connect()
        code, text = run("export", "--output", tmp_path / "out")
        assert code == 1
        assert f"{bad.pk}: key_missing" in text
        assert len((tmp_path / "out").read_text().splitlines()) == 1


class TestAReadableExport:
    def test_goes_into_a_new_file_of_its_owners_alone(self, connect, run, elsewhere, user):
        row = connect("google")
        file = elsewhere / "readable.jsonl"
        code, text = run("export", "--readable", "--output", file, "--user-field", "username")
        assert code == 0
        line = json.loads(file.read_text())
        assert line["refresh_token"] == row.open_refresh_token().reveal()
        assert (line["user"], line["email"], line["status"]) == (user.username, row.email, "connected")
        assert file.stat().st_mode & 0o777 == 0o600
        assert line["refresh_token"] not in text
        assert run("export", "--readable", "--output", file)[0] == 1

    def test_goes_to_no_terminal(self, connect, run):
        row = connect()
        code, text = run("export", "--readable")
        assert code == 1
        assert row.open_refresh_token().reveal() not in text
        assert "--output" in text

    def test_goes_through_no_link_to_another_place(self, connect, run, elsewhere):
        (elsewhere / "link").symlink_to(elsewhere / "target")
        assert run("export", "--readable", "--output", elsewhere / "link")[0] == 1
        assert not (elsewhere / "target").exists()


class TestErasing:
    @pytest.fixture
    def erase(self, run, user):
        return lambda name=None: run("erase", "--no-input", "--user", name or user.username)

    def test_ends_each_grant_and_leaves_no_row(self, connect, erase, provider, other_user):
        token = connect("google", email="ada@example.com").refresh_now()
        connect("microsoft", email="ada@example.com")
        others = connect("google", owner=other_user)
        code, text = erase()
        assert code == 0
        assert "ada@example.com  google     revoked and deleted" in text
        assert "ada@example.com  microsoft  deleted; its provider cannot be told" in text
        assert not provider.is_valid_access_token(token.reveal())
        assert MailCredentials.objects.get() == others

    def test_leaves_events_without_a_user_an_address_or_a_time(self, connect, erase, user, other_user):
        row = connect("google")
        row.refresh_now()
        mine, others = user, connect(owner=other_user)
        CredentialEvent.objects.create(credentials=others, kind=EventKind.PAUSED, actor=mine)
        erase()
        assert list(CredentialEvent.objects.values_list("credentials", "kind", "actor")) == [
            (others.pk, "paused", None)
        ]
        kept = ErasedEvent.objects.order_by("pk")
        assert [event.kind for event in kept] == ["refreshed", "disconnected", "revoked"]
        columns = {field.name for field in ErasedEvent._meta.get_fields()}
        assert columns == {"id", "happened_on", "provider", "kind", "reason"}

    def test_takes_addresses_out_of_the_admins_log_and_unfinished_consents(
        self, connect, erase, user, surfer, admin_user
    ):
        row = connect(email="ada@example.com")
        surfer.start(email="typed@example.com")
        kind = ContentType.objects.get_for_model(MailCredentials)
        LogEntry.objects.create(
            user=admin_user, content_type=kind, object_id=str(row.pk), object_repr=str(row), action_flag=CHANGE,
            change_message="of ada@example.com",
        )  # fmt: skip
        assert ConnectAttempt.objects.exists()
        erase()
        assert not ConnectAttempt.objects.exists()
        assert "ada" not in "".join(map(str, LogEntry.objects.values_list("object_repr", "change_message")))

    def test_says_honestly_what_a_provider_did_not_confirm(self, connect, erase, provider):
        connect("google")
        with provider.fault(Fault.html(503), endpoint="revoke"):
            code, text = erase()
        assert code == 1
        assert "did not confirm" in text
        assert not MailCredentials.objects.exists()

    def test_two_mailboxes_of_one_account_end_with_one_grant(self, connect, erase):
        first = connect("google")
        MailCredentials.objects.filter(pk=connect("google").pk).update(issuer=first.issuer, subject=first.subject)
        code, text = erase()
        assert (code, text.count("revoked and deleted")) == (0, 2)

    def test_a_grant_that_another_user_lives_on_stays(self, connect, erase, other_user):
        first = connect("google")
        other = connect("google", owner=other_user)
        MailCredentials.objects.filter(pk=other.pk).update(issuer=first.issuer, subject=first.subject)
        _, text = erase()
        assert "lives on the same grant" in text
        assert MailCredentials.objects.get().pk == other.pk

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


@pytest.mark.django_db(transaction=True)
def test_what_is_erased_answers_from_no_cache(locmem_cache, connect, run, user):
    row = connect()
    row.get_access_token()
    held = f"mail_oauth:mail:{row.pk}"
    assert len(cache.get(held)) > 200
    cache.set(f"mail_oauth:parked:{row.pk}", b"a parked pair")
    run("erase", "--no-input", "--user", user.pk)
    assert len(cache.get(held)) < 50  # a tombstone
    assert cache.get(f"mail_oauth:parked:{row.pk}") is None
    with pytest.raises(MailCredentials.DoesNotExist):
        MailCredentials.objects.get_access_token(row.pk)


def test_anonymous_events_go_in_their_time(db):
    from mail_oauth.upkeep.prune import prune_events

    today = timezone.now().date()
    for days in (1, 100):
        ErasedEvent.objects.create(happened_on=today - timedelta(days=days), provider="google", kind="refreshed")
    prune_events()
    assert ErasedEvent.objects.get().happened_on == today - timedelta(days=1)
