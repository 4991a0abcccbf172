"""An import that somebody ends has told what it saved, and is begun again."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import PAGE, SourceError
from mail_oauth.signals import token_refreshed

pytestmark = pytest.mark.django_db


class Interrupted(io.BytesIO):
    """Standard input, in which something happens once a page was read."""

    def __init__(self, lines, happens):
        super().__init__("\n".join(lines).encode())
        self.left, self.happens = PAGE, happens

    def readline(self, *args):
        if not self.left:
            self.happens()
        self.left -= 1
        return super().readline(*args)


@pytest.fixture
def ended(user, provider, tmp_path, monkeypatch):
    """Runs an import that `error` ends behind the first page: what it raised and wrote, and its report at that moment."""

    def run(error):
        line = {"user": user.pk, "provider": "microsoft", "refresh_token": "a token"}
        lines = [json.dumps({**line, "email": f"ada{number}@example.com"}) for number in range(PAGE + 5)]
        file, out, seen = tmp_path / "report", io.StringIO(), []

        def happens():
            seen.append(len(file.read_text().splitlines()))
            raise error

        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Interrupted(lines, happens)))
        with pytest.raises((CommandError, type(error))) as raised:
            call_command("mail_oauth", "import", "jsonl", "-", "--report", str(file), stdout=out, stderr=out)
        return raised.value, out.getvalue(), seen

    return run


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (SourceError("It went away."), 1)]
)
def test_its_numbers_and_its_report_are_those_of_what_is_saved(error, code, ended):
    """By Ctrl-C, by SIGTERM, which commands turn into an exit, and by a source that goes away."""
    raised, text, [reported] = ended(error)
    assert getattr(raised, "returncode", None) == code or raised.code == code
    assert "So far" in text
    assert text.split()[-2:] == ["imported", str(PAGE)]
    assert reported == MailCredentials.objects.count() == PAGE


def test_a_mistake_is_not_hidden_by_the_numbers(ended):
    raised, text, _ = ended(ZeroDivisionError("ours"))
    assert isinstance(raised, ZeroDivisionError)
    assert "So far" in text


def test_what_is_just_being_verified_is_told_too(lines, line_of, granted, tmp_path):
    """It is saved already; that nobody knows whether it works is no reason to say nothing of it."""

    def interrupt(**_):
        raise KeyboardInterrupt

    file = lines(line_of(granted()), line_of(granted()))
    token_refreshed.connect(interrupt)
    try:
        with pytest.raises(CommandError) as raised:
            call_command(
                "mail_oauth", "import", "jsonl", str(file), "--verify", "--report", str(tmp_path / "report")
            )
    finally:
        token_refreshed.disconnect(interrupt)
    assert raised.value.returncode == 130
    written = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    assert [(each["outcome"], each["proof"]) for each in written] == [("imported", "")] * 2
    assert MailCredentials.objects.count() == 2
