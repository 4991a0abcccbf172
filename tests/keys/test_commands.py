"""`manage.py mail_oauth generate_key|key_status|rotate_keys|bind_values`, and the task."""

from __future__ import annotations

import io
import json

import pytest
from celery import current_app
from cryptography.fernet import Fernet
from django.core.management import call_command

from mail_oauth import tasks
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep import rekey
from mail_oauth.upkeep.stopping import StopSign
from tests.keys.test_rotating import fingerprints, park
from tests.sealing.blobs import overwrite, plain_fernet, raw

pytestmark = pytest.mark.django_db


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


class TestGenerateKey:
    def test_prints_the_key_alone_and_the_line_beside_it(self):
        out, err = io.StringIO(), io.StringIO()
        call_command("mail_oauth", "generate_key", stdout=out, stderr=err)
        assert Fernet(out.getvalue().strip())
        assert out.getvalue().strip() not in err.getvalue()
        assert 'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]' in err.getvalue()

    def test_names_the_file_where_keys_come_from_one(self, settings, tmp_path):
        settings.FERNET_KEYS = []
        settings.MAIL_OAUTH = {"KEYS_FILE": tmp_path / "keys"}
        err = io.StringIO()
        call_command("mail_oauth", "generate_key", stdout=io.StringIO(), stderr=err)
        assert "KEYS_FILE" in err.getvalue()

    def test_never_prints_one_twice(self, capsys):
        call_command("mail_oauth", "generate_key")
        call_command("mail_oauth", "generate_key")
        first, second = capsys.readouterr().out.split()
        assert first != second


class TestKeyStatus:
    def test_is_a_table(self, connect, keys, run):
        connect()
        old = keys.fingerprints[0]
        new = keys.first()
        code, text = run("key_status")
        assert code == 0
        lines = cells(text)
        assert [new, "seals", "-", "0"] in lines
        assert [old, "opens", "mail_oauth_mailcredentials.refresh_token", "1"] in lines

    def test_shouts_of_a_missing_key(self, connect, keys, run):
        connect()
        old = keys.fingerprints[0]
        keys.replace_all()
        code, text = run("key_status")
        assert code == 0
        assert [old, "NOT", "IN", "FERNET_KEYS", "mail_oauth_mailcredentials.access_token", "1"] in cells(text)

    def test_is_json_for_programs(self, locmem_cache, connect, keys, run):
        park(connect(seconds_left=-10))
        code, text = run("key_status", "--json")
        data = json.loads(text)
        assert code == 0
        assert {use["role"] for use in data["uses"]} == {"seals"}
        assert sum(use["values"] for use in data["uses"]) == 3

    def test_proves(self, connect, keys, run):
        good, bad = connect(), connect()
        code, text = run("key_status", "--prove")
        assert code == 0
        [key] = keys.fingerprints
        assert [key, "seals", "mail_oauth_mailcredentials.refresh_token", "2", "2"] in cells(text)
        overwrite(bad, "refresh_token", raw(good, "refresh_token"))
        code, text = run("key_status", "--prove")
        assert code == 1
        assert f"refresh_token {bad.pk}: moved" in text
        assert "CommandError: 1 values do not open." in text

    def test_fails_where_the_cache_cannot_be_asked(self, redis_cache, connect, run):
        connect()
        redis_cache.kill()
        code, text = run("key_status")
        assert code == 1
        assert "parked pairs are not counted" in text
        assert "mail_oauth_mailcredentials.refresh_token" in text


class TestRotateKeys:
    def test_rotates(self, connect, keys, run):
        connect(), connect()
        new = keys.first()
        code, text = run("rotate_keys")
        assert code == 0
        assert ["resealed", "4"] in cells(text)
        assert fingerprints() == {new: 4}

    def test_takes_its_options(self, connect, keys, run):
        connect(), connect()
        keys.first()
        code, text = run("rotate_keys", "--dry-run")
        assert (code, len(fingerprints())) == (0, 1)
        assert ["dry", "run", "True"] in cells(text)
        code, text = run("rotate_keys", "--batch", 1, "--limit", 1)
        assert sorted(fingerprints().values()) == [2, 2]
        assert ["ended", "limit"] in cells(text)
        assert code == 0

    @pytest.mark.parametrize("bad", [["--batch", "0"], ["--limit", "-1"], ["--batch", "many"]])
    def test_refuses_odd_options(self, run, bad):
        code, _ = run("rotate_keys", *bad)
        assert code != 0

    def test_fails_and_names_what_does_not_open(self, connect, keys, run):
        mailbox = connect()
        overwrite(mailbox, "refresh_token", raw(mailbox, "refresh_token")[:-4])
        keys.first()
        code, text = run("rotate_keys")
        assert code == 1
        assert f"mail_oauth_mailcredentials.refresh_token {mailbox.pk}: altered" in text
        assert "CommandError: 1 values could not be opened, and are as they were" in text

    def test_fails_where_others_still_seal_under_another_key(self, connect, keys, run, monkeypatch):
        connect()
        keys.first()
        monkeypatch.setattr(rekey, "MOST_PASSES", 0)
        code, text = run("rotate_keys")
        assert code == 1
        assert "still seals under another key" in text

    def test_shows_how_far_it_is_on_a_terminal(self, connect, keys):
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        connect()
        keys.first()
        terminal = Terminal()
        call_command("mail_oauth", "rotate_keys", stdout=io.StringIO(), stderr=terminal)
        assert "2 of 2 values, 100%" in terminal.getvalue()


class TestBindValues:
    def test_binds(self, connect, run):
        mailbox = connect()
        refresh = mailbox.open_refresh_token()
        overwrite(mailbox, "refresh_token", plain_fernet(refresh.reveal()))
        code, text = run("bind_values")
        assert code == 0
        assert ["resealed", "1"] in cells(text)
        assert MailCredentials.objects.get().open_refresh_token() == refresh

    def test_fails_where_no_key_opens_a_value(self, connect, run):
        overwrite(connect(), "refresh_token", b"in clear")
        code, text = run("bind_values")
        assert code == 1
        assert "no key of this site opens them" in text


class TestTheTask:
    @pytest.fixture
    def sent(self, monkeypatch) -> list[str]:
        """The names of the tasks that are sent."""
        names: list[str] = []
        monkeypatch.setattr(
            tasks.UpkeepTask, "apply_async", lambda task, *args, **options: names.append(task.name)
        )
        return names

    def test_rotates_and_returns_what_json_can_carry(self, connect, keys, sent):
        connect()
        new = keys.first()
        report = tasks.rotate_keys()
        assert json.loads(json.dumps(report))["resealed"] == 2
        assert fingerprints() == {new: 2}
        assert sent == []

    def test_is_bounded_in_time_and_goes_on_in_another_message(self, connect, keys, settings, sent):
        connect()
        keys.first()
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BATCH_SECONDS": 0}
        assert tasks.rotate_keys()["ended"] == "time"
        assert sent == ["mail_oauth.tasks.rotate_keys"]

    def test_ends_with_its_worker(self, connect, keys, sent, monkeypatch):
        connect()
        keys.first()
        monkeypatch.setattr(tasks, "stop_sign", StopSign())
        tasks.stop_sign.raise_()
        assert tasks.rotate_keys()["ended"] == "stopped"
        assert sent == []

    def test_is_known_to_workers_and_not_sent_by_beat(self):
        from mail_oauth.beat import mail_oauth_beat_schedule

        assert "mail_oauth.tasks.rotate_keys" in current_app.tasks
        assert "rotate_keys" not in str(mail_oauth_beat_schedule())
