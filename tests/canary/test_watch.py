"""The watch can fail: it finds each secret that is planted, in each place and spelling, and shows none itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mail_oauth.testing.recorder import SECRETS_FILE
from mail_oauth.testing.search import END, LONGEST_WHOLE, SHORTEST, Index, spellings
from tests.canary.planted import PLACES, SPELLINGS
from tests.canary.spool import WATCH

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^(.+?) (raw|in [\w ]+), \d+x, in ([\w ]+): (.+)$", re.MULTILINE)
STARTS = ["ya29.", "EwB4", "1//0", "fmr1-", "oidc-", "eyJ"]
"""How tokens of the fake provider begin."""


@dataclass
class Run:
    """A run of the planted tests: its exit code, what it printed, and what its watch has found."""

    exit_code: int
    printed: str

    @property
    def found(self) -> set[tuple[str, str]]:
        """Kinds of text, and tests or files."""
        return {(kind, where.partition(" (")[0]) for _, _, kind, where in LINE.findall(self.printed)}


def run(*arguments: str) -> Run:
    left_out = {WATCH, SECRETS_FILE, "PYTEST_CURRENT_TEST", "DATABASE_URL", "REDIS_URL", "PYTEST_ADDOPTS"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return Run(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def planted() -> Run:
    return run("tests/canary/planted.py", "-m", "not redis")


def named(test: str) -> str:
    return f"tests/canary/planted.py::{test}"


def test_a_run_in_which_secrets_were_planted_fails(planted):
    assert planted.exit_code == 1, planted.printed
    assert "1 error" in planted.printed
    assert " failed" not in planted.printed.splitlines()[-1]
    assert re.search(r"canary: \d+ secrets looked for in [\d.]+ MB \(.*\): \d+ found", planted.printed)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_each_place_is_watched(planted, place):
    kind = PLACES[place]
    where = {where for found, where in planted.found if found == kind}
    assert kind == "temporary" or named(f"test_a_token[{place.__name__}]") in where
    assert where


def test_files_and_tables_are_watched(planted):
    assert [where for kind, where in planted.found if kind == "files" and "test_a_token_in_a_file" in where]
    assert ("tables", named("test_a_token_in_a_table")) in planted.found


@pytest.mark.redis
@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs a Redis")
def test_redis_is_watched():
    assert ("redis", named("test_a_token_in_redis")) in run("tests/canary/planted.py", "-m", "redis").found


@pytest.mark.parametrize(
    "test",
    [
        *(f"test_any_spelling[{spelling}-{name}]" for spelling in SPELLINGS for name in ("google", "microsoft")),
        *(
            f"test_a_client_secret_of_odd_characters[{spelling}]"
            for spelling in ("raw", "in HTML", "in a URL", "in a form", "in base64 1", "in JSON")
        ),
        *(f"test_any_token[{kind}]" for kind in ("access_token", "refresh_token", "id_token")),
        *(
            f"test_what_passes_during_a_consent[{kind}]"
            for kind in ("code", "state", "nonce", "code_verifier", "authorization", "client_secret")
        ),
        "test_a_state_that_never_reached_the_provider",
        *(
            f"test_keys[{name}]"
            for name in ("SECRET_KEY", "FERNET_KEYS", "FERNET_KEYS, derived", "FERNET_KEYS, changed")
        ),
        *(f"test_what_an_app_shows_of_itself[{kind}]" for kind in ("client_assertion", "assertion")),
        *(
            f"test_a_line_of_a_private_key[{kind}]"
            for kind in ("a certificate's", "a certificate's in a file", "a service account's")
        ),
    ],
)
def test_each_secret_is_found_however_it_is_spelled(planted, test):
    assert ("logs", named(test)) in planted.found


def test_nothing_is_found_where_nothing_was_planted(planted):
    assert not [where for _, where in planted.found if "nothing" in where]


def test_the_report_shows_no_secret(planted):
    assert not [start for start in STARTS if start in planted.printed]


def test_it_can_be_left_out():
    clean = run("tests/canary/planted.py", "-k", "test_a_token and stdout", "-p", "no:tests.canary.plugin")
    assert clean.exit_code == 0, clean.printed
    assert "canary:" not in clean.printed


class TestTheSearch:
    SECRET = "a-secret-of-40-characters-0123456789abcd"

    @pytest.mark.parametrize("length", range(SHORTEST, 41))
    def test_is_complete(self, length):
        """A secret of any length, in any spelling, at any offset, at the very beginning and end of a text."""
        secret = self.SECRET[:length]
        index = Index([("token", secret)])
        for spelling in spellings(secret.encode()):
            for before in range(17):
                for after in (0, 1, 9):
                    text = b"." * before + spelling + b"." * after
                    assert [start for start, _, _ in index.find(text)] == [before], (spelling, before, after)

    @pytest.mark.parametrize(
        "text", [b"", b"a", b"a-secret", b"." * 100, SECRET[1:].encode(), SECRET[:-1].encode()]
    )
    def test_finds_nothing_where_nothing_stands(self, text):
        assert list(Index([("token", self.SECRET)]).find(text)) == []

    def test_takes_the_ends_of_a_long_one_for_the_whole(self):
        long = "".join(f"{number}-" for number in range(100))
        assert len(long) > LONGEST_WHOLE
        index = Index([("token", long)])
        for piece in (long[:END], long[-END:]):
            assert list(index.find(f"cut short: {piece}…".encode()))
        assert not list(index.find(long[END:-END].encode()))

    def test_leaves_out_what_is_too_short_to_mean_anything(self):
        assert len(Index([("token", "x" * (SHORTEST - 1))])) == 0
