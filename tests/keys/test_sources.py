"""Keys come from the settings, a file or a callable: from one of them, and none of them is ever shown."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.views.debug import ExceptionReporter

from mail_oauth import encryption
from mail_oauth.encryption import keyring, new_key, seal, unseal
from mail_oauth.exceptions import ConfigurationError, KeyMissing, KeysNotFound, KeySourcesConflict
from mail_oauth.tokens import Secret

asked: list[int] = []
answer: Any = None


def kms() -> Any:
    """What `MAIL_OAUTH["KEYS"]` names in these tests."""
    asked.append(1)
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture(autouse=True)
def only_source(settings):
    """No other source than the one that a test names; nothing was asked so far."""
    settings.FERNET_KEYS = []
    asked.clear()
    yield
    encryption._keys.forget()


@pytest.fixture
def from_kms(settings):
    def use(keys: Any, named: Any = f"{__name__}.kms") -> None:
        global answer
        answer = keys
        settings.MAIL_OAUTH = {"KEYS": named}

    return use


@pytest.fixture
def key_file(settings, tmp_path) -> Path:
    path = tmp_path / "keys"
    path.touch(0o600)
    settings.MAIL_OAUTH = {"KEYS_FILE": path}
    return path


@pytest.fixture
def no_patience(monkeypatch):
    """A source may be asked again at once."""
    monkeypatch.setattr(encryption, "REREAD_SECONDS", 0)


def errors(**how: Any) -> dict[str, str]:
    return {each.id: f"{each.msg} {each.hint}" for each in run_checks(tags=["mail_oauth"], **how)}


class TestAFile:
    def test_has_a_key_per_line_and_comments(self, key_file, settings):
        key_file.write_text("# the newest first\n\n  first key \n#old\nsecond key\n")
        ring = keyring().keys
        settings.MAIL_OAUTH = {}
        settings.FERNET_KEYS = ["first key", "second key"]
        assert ring == keyring().keys

    def test_may_be_named_by_a_path_or_its_text(self, key_file, settings):
        key_file.write_text("a key")
        ring = keyring()
        settings.MAIL_OAUTH = {"KEYS_FILE": str(key_file)}
        assert keyring() == ring

    @pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
    def test_without_a_key_is_refused_with_the_remedy(self, key_file, text):
        key_file.write_text(text)
        with pytest.raises(KeysNotFound, match=r"holds no key.*generate_key"):
            keyring()
        assert str(key_file) in errors()["mail_oauth.E012"]

    def test_that_is_not_there_is_refused(self, key_file):
        key_file.unlink()
        with pytest.raises(KeysNotFound, match="No such file"):
            keyring()

    def test_that_is_no_text_is_refused_without_showing_it(self, key_file):
        key_file.write_bytes(b"\xff\xfe secret bytes")
        with pytest.raises(KeysNotFound, match="not text") as raised:
            keyring()
        assert "secret bytes" not in "".join(traceback.format_exception(raised.value))

    def test_whose_name_is_a_key_by_mistake_does_not_show_it(self, settings):
        key = new_key()
        settings.MAIL_OAUTH = {"KEYS_FILE": key}
        with pytest.raises(KeysNotFound) as raised:
            keyring()
        assert key not in str(raised.value)

    @pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
    def test_that_others_may_read_is_warned_of_at_deployment(self, key_file, mode, warned):
        key_file.write_text("a key")
        key_file.chmod(mode)
        found = errors(include_deployment_checks=True)
        assert ("mail_oauth.W009" in found) == warned
        assert "mail_oauth.W002" not in found, "SECRET_KEY is no source then"

    def test_is_read_again_when_a_key_is_missed(self, key_file, no_patience):
        key_file.write_text("old")
        keyring()
        key_file.write_text("new\nold")
        ring = encryption.Keyring((encryption.Key(encryption.derive_fernet_key("new")),))
        sealed = ring.seal(Secret("of another host"), "place")
        assert unseal(sealed, "place").reveal() == "of another host"
        assert seal(Secret("x"), "place").fingerprint == ring.keys[0].fingerprint, "the new key seals from now on"

    def test_that_becomes_bad_leaves_the_keys_that_were_read(self, key_file, no_patience, caplog):
        key_file.write_text("a key")
        mine = seal(Secret("mine"), "place")
        key_file.write_text("")
        foreign = encryption.Keyring((encryption.Key(Fernet.generate_key()),)).seal(Secret("x"), "place")
        with pytest.raises(KeyMissing):
            unseal(foreign, "place")
        assert unseal(mine, "place").reveal() == "mine"
        assert "those that were read before are kept" in caplog.text


class TestACallable:
    @pytest.mark.parametrize("named", [kms, f"{__name__}.kms"], ids=["itself", "by its path"])
    def test_is_called_once(self, from_kms, named):
        from_kms(["first", "second"], named)
        for _ in range(3):
            assert len(keyring().keys) == 2
            unseal(seal(Secret("x"), "place"), "place")
        assert len(asked) == 1

    def test_is_called_once_by_many_threads(self, from_kms):
        from_kms(["first"])
        threads = [threading.Thread(target=keyring) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(asked) == 1

    def test_is_called_again_when_a_key_is_missed_and_heals(self, from_kms, no_patience):
        from_kms(["old"])
        keyring()
        global answer
        answer = ["old", "new"]
        other = encryption.Keyring((encryption.Key(encryption.derive_fernet_key("new")),))
        assert unseal(other.seal(Secret("x"), "place"), "place").reveal() == "x"
        assert len(asked) == 2

    def test_is_not_called_for_each_value_whose_key_is_gone(self, from_kms):
        from_kms(["a key"])
        foreign = encryption.Keyring((encryption.Key(Fernet.generate_key()),)).seal(Secret("x"), "place")
        for _ in range(5):
            with pytest.raises(KeyMissing, match=r'MAIL_OAUTH\["KEYS"\]: put it back'):
                unseal(foreign, "place")
        assert len(asked) == 1

    def test_that_fails_is_not_called_again_at_once(self, from_kms):
        from_kms(ConnectionError("the KMS is away"))
        for _ in range(5):
            with pytest.raises(KeysNotFound, match="it raised ConnectionError"):
                keyring()
        assert len(asked) == 1

    def test_may_give_them_one_by_one(self, from_kms):
        from_kms(["first", "second"])
        listed = keyring().keys
        from_kms(key for key in ("first", "second"))
        assert [key.fingerprint for key in keyring().keys] == [key.fingerprint for key in listed]
        assert len(listed) == 2

    def test_that_fails_on_the_way_gave_none(self, from_kms):
        from_kms(key or 1 / 0 for key in ("s3cr3t", 0))
        with pytest.raises(KeysNotFound, match="it raised ZeroDivisionError"):
            keyring()

    @pytest.mark.parametrize(
        "keys",
        [[], "one string", b"bytes", None, 5, [None], [""], ["good", None], pytest.param(iter([]), id="iterator")],
    )
    def test_that_returns_no_keys_is_refused(self, from_kms, keys):
        from_kms(keys)
        with pytest.raises(ConfigurationError, match="must return a list of keys"):
            keyring()

    @pytest.mark.parametrize("named", ["no.such.module", f"{__name__}.nothing"])
    def test_that_cannot_be_imported_is_refused(self, settings, named):
        settings.MAIL_OAUTH = {"KEYS": named}
        with pytest.raises(KeysNotFound, match="cannot be imported"):
            keyring()
        assert "mail_oauth.E012" in errors()

    def test_s_error_is_not_shown_for_it_may_tell_of_a_key(self, from_kms):
        from_kms(ValueError("the key s3cr3t is too short"))
        with pytest.raises(KeysNotFound) as raised:
            keyring()
        assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))


class TestSeveralSources:
    @pytest.mark.parametrize(
        ("ours", "fernet_keys"),
        [
            ({"KEYS": kms, "KEYS_FILE": "keys"}, []),
            ({"KEYS": kms}, ["a key"]),
            ({"KEYS_FILE": "keys"}, ["a key"]),
        ],
        ids=["both", "callable and setting", "file and setting"],
    )
    def test_are_refused_and_named(self, settings, ours, fernet_keys):
        settings.MAIL_OAUTH, settings.FERNET_KEYS = ours, fernet_keys
        with pytest.raises(KeySourcesConflict, match="leave one of them"):
            keyring()
        found = errors()["mail_oauth.E011"]
        assert all(name in found for name in ours)
        assert "a key" not in found


class TestNothingShowsAKey:
    def test_not_a_malformed_one_in_an_error_or_in_what_django_reports_of_it(self, settings, rf):
        settings.FERNET_USE_HKDF = False
        secret = "-" + new_key()
        settings.FERNET_KEYS = [secret]
        settings.DEBUG = False
        try:
            keyring()
        except ConfigurationError as error:
            below = error.__traceback__.tb_next  # this frame's own locals are the test's business
            report = ExceptionReporter(rf.get("/"), type(error), error, below)
            shown = report.get_traceback_text() + report.get_traceback_html() + repr(error)
        assert secret not in shown
        assert "FERNET_KEYS holds a value that is not a key" in shown

    def test_not_the_keyring(self, settings, caplog):
        caplog.set_level(logging.DEBUG)
        settings.FERNET_KEYS = [new_key()]
        shown = f"{keyring()!r} {keyring().keys!r} {encryption._keys!r} {caplog.text}"
        assert settings.FERNET_KEYS[0] not in shown
        assert keyring().keys[0].raw.decode() not in shown


def test_a_forked_child_has_the_keys_and_can_read_them_again(from_kms):
    """Though a thread of its parent held the lock at that moment."""
    from_kms(["a key"])
    keyring()
    with encryption._keys._lock:
        pid = os.fork()
        if not pid:
            os._exit(0 if len(keyring().keys) == 1 and encryption._keys.renewed(keyring()) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(asked) == 1


class TestAMissingKey:
    def test_is_told_once_in_the_log_whatever_is_sealed_under_it(self, settings, caplog):
        settings.FERNET_KEYS = ["old"]
        values = [seal(Secret("x"), "place") for _ in range(5)]
        settings.FERNET_KEYS = ["new"]
        for value in values:
            with pytest.raises(KeyMissing):
                unseal(value, "place")
        [record] = [record for record in caplog.records if getattr(record, "action", "") == "key_missing"]
        assert record.levelname == "ERROR"
        assert record.key == values[0].fingerprint


@pytest.mark.parametrize("hkdf", [True, False])
def test_a_generated_key_is_good_whatever_the_derivation(settings, hkdf):
    settings.FERNET_USE_HKDF = hkdf
    settings.FERNET_KEYS = [new_key()]
    assert unseal(seal(Secret("x"), "place"), "place").reveal() == "x"


@pytest.fixture(autouse=True)
def _answer_is_forgotten():
    yield
    global answer
    answer = None
