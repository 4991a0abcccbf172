"""Which keys are in use is counted over every encrypted column and every parked pair, and can be proved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone

from mail_oauth.encryption import seal
from mail_oauth.fields import SealedField
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.tokens import Secret
from mail_oauth.upkeep import keys as keys_module
from mail_oauth.upkeep.columns import sealed_columns
from mail_oauth.upkeep.keys import PARKED, Role, key_status, prove_keys
from mail_oauth.upkeep.rekey import rotate_keys
from tests.keys.test_rotating import park
from tests.sealing.blobs import overwrite, plain_fernet, raw

pytestmark = pytest.mark.django_db

ACCESS, REFRESH = (f"mail_oauth_mailcredentials.{name}" for name in ("access_token", "refresh_token"))


def counted(status: Any) -> dict[tuple[str, str], int]:
    return {(use.key, use.column): use.values for use in status.uses}


class TestEveryColumn:
    def test_of_this_app_is_found(self):
        assert {column.title for column in sealed_columns()} == {
            ACCESS,
            REFRESH,
            "mail_oauth_connectattempt.code_verifier",
            "mail_oauth_connectattempt.nonce",
        }

    def test_of_other_apps_is_found_once_at_its_own_table(self, vault):
        titles = [column.title for column in sealed_columns()]
        assert [title for title in titles if title.startswith("vault")] == ["vault_jewel.combination"]

    def test_of_another_database_is_looked_for_there(self):
        assert {column.using for column in sealed_columns("default")} == {"default"}


class TestCounting:
    def test_tells_each_key_its_role_and_where_it_is_used(self, connect, keys, user):
        old = keys.fingerprints[0]
        connect(), connect()
        new = keys.first()
        connect()
        status = key_status()
        assert counted(status) == {
            (new, ACCESS): 1,
            (new, REFRESH): 1,
            (old, ACCESS): 2,
            (old, REFRESH): 2,
        }
        assert [(use.key, use.role) for use in status.uses] == [(new, Role.SEALS)] * 2 + [(old, Role.OPENS)] * 2

    def test_names_a_key_that_is_missing(self, connect, keys):
        connect()
        old = keys.fingerprints[0]
        keys.replace_all()
        status = key_status()
        assert set(status.missing) == {old}
        assert sum(use.values for use in status.missing[old]) == 2
        assert status.uses[0] == keys_module.KeyUse(
            key=keys.fingerprints[0], role=Role.SEALS, column="", values=0
        ), "the new key has a line though nothing is under it"

    def test_tells_what_is_bound_to_no_place_and_what_is_no_value_at_all(self, connect):
        rows = [connect() for _ in range(4)]
        overwrite(rows[0], "refresh_token", plain_fernet("a"))
        overwrite(rows[1], "refresh_token", plain_fernet("b"))
        overwrite(rows[2], "refresh_token", b"ya29.in-clear")
        overwrite(rows[3], "refresh_token", b"mo1:ya29.in-clear-to:x")
        found = {(use.key, use.role): use.values for use in key_status().uses if use.column == REFRESH}
        assert found == {("plain", Role.PLAIN): 2, ("other", Role.OTHER): 2}
        assert "ya29" not in repr(key_status())

    def test_counts_consents_and_other_apps(self, vault, user, keys):
        attempt = ConnectAttempt(user=user, provider="microsoft", expires_at=timezone.now() + timedelta(minutes=5))
        attempt.nonce = seal(Secret("nonce"), attempt.place("nonce"))
        attempt.save()
        jewel = vault.Jewel(name="hidden", hidden=True)
        jewel.combination = jewel.sealed("x")
        jewel.save()
        [key] = keys.fingerprints
        assert counted(key_status()) == {
            (key, "mail_oauth_connectattempt.nonce"): 1,
            (key, "vault_jewel.combination"): 1,
        }

    def test_asks_once_for_each_column_and_decrypts_nothing(self, connect, keys, monkeypatch):
        from mail_oauth.sealing import Keyring

        connect()
        monkeypatch.setattr(Keyring, "unseal_stored", lambda *_: pytest.fail("decrypted"))
        with CaptureQueriesContext(connection) as queries:
            key_status()
        grouped = [query["sql"] for query in queries if "GROUP BY" in query["sql"]]
        assert len(grouped) == len(sealed_columns())

    def test_counts_parked_pairs_by_key(self, any_cache, connect, keys):
        old = keys.fingerprints[0]
        rows = [connect(seconds_left=-10) for _ in range(3)]
        park(rows[0])
        new = keys.first()
        park(rows[1])
        parked = {key: number for (key, column), number in counted(key_status()).items() if column == PARKED}
        assert parked == {old: 1, new: 1}
        rotate_keys()
        parked = {key: number for (key, column), number in counted(key_status()).items() if column == PARKED}
        assert parked == {new: 2}

    def test_says_so_where_the_cache_cannot_be_asked(self, redis_cache, connect):
        connect()
        redis_cache.kill()
        status = key_status()
        assert status.cache_error
        assert len(status.uses) == 2


class TestTheProof:
    def test_opens_everything_and_counts_by_key(self, locmem_cache, connect, keys):
        old = keys.fingerprints[0]
        park(connect(seconds_left=-10))
        new = keys.first()
        connect()
        status = prove_keys()
        assert status.unopened == 0
        assert {(use.key, use.column, use.values) for use in status.uses} == {
            (each, column, 1) for each in (old, new) for column in (ACCESS, REFRESH)
        } | {(old, PARKED, 1)}
        assert all(use.opened == use.values for use in status.uses)

    def test_finds_what_does_not_open_though_it_shows_a_good_key(self, any_cache, connect, keys):
        good, bad = connect(seconds_left=-10), connect(seconds_left=-10)
        park(good)
        overwrite(bad, "refresh_token", raw(bad, "refresh_token")[:-4])
        overwrite(bad, "access_token", raw(good, "access_token"))
        status = prove_keys()
        assert status.unopened == 2
        assert sorted(status.refused) == [f"{ACCESS} {bad.pk}: moved", f"{REFRESH} {bad.pk}: altered"]
        assert {(use.column, use.values, use.opened) for use in status.uses} == {
            (ACCESS, 2, 1),
            (REFRESH, 2, 1),
            (PARKED, 1, 1),
        }

    def test_of_a_key_that_only_claims_to_be_in_use_nowhere_is_none(self, connect, keys):
        """What the label says is not believed: a value under the old key with the new one's label does not open."""
        mailbox = connect()
        old = keys.fingerprints[0]
        new = keys.first()
        relabelled = raw(mailbox, "refresh_token").replace(old.encode(), new.encode())
        overwrite(mailbox, "refresh_token", relabelled)
        assert key_status().uses[0].key == new
        assert prove_keys().unopened == 1

    def test_holds_a_page_of_values_and_no_more(self, connect, monkeypatch):
        monkeypatch.setattr(keys_module, "PAGE", 2)
        for _ in range(5):
            connect()
        told: list[int] = []
        with CaptureQueriesContext(connection) as queries:
            assert prove_keys(told.append).unopened == 0
        assert told == list(range(1, 11))
        reads = [query["sql"] for query in queries if "ORDER BY" in query["sql"] and "_token" in query["sql"]]
        assert len(reads) == 2 * 3
        assert all("LIMIT 2" in sql for sql in reads)

    def test_where_the_cache_cannot_be_asked_is_none(self, redis_cache, connect):
        connect()
        redis_cache.kill()
        assert prove_keys().cache_error


@isolate_apps("tests.keys.vault")
def test_a_model_that_names_no_place_is_a_mistake():
    class Forgetful(Model):
        combination = SealedField(null=True)

        class Meta:
            app_label = "vault"

        def __str__(self) -> str:
            return "forgetful"

    [error] = [each for each in Forgetful.check() if each.id == "mail_oauth.E009"]
    assert "names no place" in error.msg
    assert "def place(self, column)" in error.hint
    assert not [each for each in MailCredentials.check() + ConnectAttempt.check() if each.id == "mail_oauth.E009"]
