"""`export`, and back again."""

from __future__ import annotations

import json

import pytest

from mail_oauth.encryption import keyring, new_key
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
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
