"""Whatever lies in a source beside good grants: it is told by a code, and the good ones come."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.models import MailCredentials
from mail_oauth.moving import importing
from mail_oauth.moving.mistakes import ENDS_THE_RUN, apart
from mail_oauth.moving.sources.o365 import _entries
from mail_oauth.moving.values import BadValue, flag_in, moment_in, number_in, scopes_in
from mail_oauth.providers.google import Google
from mail_oauth.refresh import engine
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db

HUGE = "9" * 5000
"""Python reads no integer so long from text: not even the row that has one is loaded."""


class Careless(Google):
    """A provider of a site's own, with a mistake that some claims bring about."""

    def accepts_issuer(self, claims: Any) -> bool:
        raise ZeroDivisionError(f"of {claims}")


class TestOneEntryEndsNoImport:
    @pytest.mark.parametrize(
        ("ends", "reason"), [('"nan"', "expiry"), ("1" + "0" * 400, "expiry"), (HUGE, "unexpected ValueError")]
    )
    def test_a_row_of_another_package(self, ends, reason, social, granted, user, other_user, report):
        good, bad = granted("google"), granted("google")
        for who, grant in ((user, good), (other_user, bad)):
            extra = {"refresh_token": grant.refresh_token, "email": grant.email}
            social.UserSocialAuth.objects.create(
                user=who, provider="google-oauth2", uid=str(who.pk), extra_data=extra
            )
        stored = json.dumps({"refresh_token": bad.refresh_token, "expires_in": None}).replace("null", ends)
        with connection.cursor() as cursor:
            table = social.UserSocialAuth._meta.db_table
            cursor.execute(f"UPDATE {table} SET extra_data = %s WHERE user_id = %s", [stored, other_user.pk])
        told, imported = report("social-auth")
        assert (told["outcome"], told["reason"]) == ("unreadable", reason)
        assert imported["outcome"] == "imported"
        assert MailCredentials.objects.get().email == good.email

    @pytest.mark.parametrize(
        "bad", [{"sealed": "\ud800", "id": "x"}, {"id": "\ud800", "sealed": "x"}, {"sealed": "é", "id": "\0"}]
    )
    def test_a_sealed_line(self, bad, lines, line_of, granted, report):
        results = report("jsonl", lines(bad, line_of(granted())))
        assert [(each["outcome"], each["reason"]) for each in results] == [
            ("unreadable", "sealed"),
            ("imported", ""),
        ]

    def test_a_files_name(self, granted, report, elsewhere, tmp_path, provider):
        folder = elsewhere / "tokens"
        folder.mkdir()
        for name in (b"b\xff.txt", "c\x9b31m\x7f.txt".encode()):
            content = {"refresh_token": granted().refresh_token, "email": "ada@example.com"}
            (folder / os.fsdecode(name)).write_text(json.dumps(content))
        results = report("o365", "--path", folder, "--user-field", "username")
        assert [each["user"] for each in results] == ["b\\udcff", "c\\x9b31m\\x7f"]
        assert outcomes(results) == ["unknown_user"] * 2
        [written] = tmp_path.glob("report*")
        assert all(line.isprintable() for line in written.read_text().splitlines())

    @pytest.mark.parametrize("also", [[], ["--dry-run"]])
    def test_what_nobody_had_thought_of_is_told_by_its_kind_alone(
        self, also, allauth, granted, user, report, caplog, settings
    ):
        """Here a site's own provider has a mistake: an entry is found at fault after it was read."""
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        careless = {**providers["google"], "CLASS": f"{__name__}.Careless"}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "careless": careless}}
        for name in ("google", "careless", "keycloak"):
            grant = granted("google")
            extra = {"email": grant.email, "id_token": {"sub": "said-in-the-open"} if name == "careless" else None}
            account = allauth.SocialAccount.objects.create(user=user, provider=name, uid="1", extra_data=extra)
            allauth.SocialToken.objects.create(account=account, token="", token_secret=grant.refresh_token)
        with caplog.at_level(logging.ERROR, "mail_oauth"):
            results = report("allauth", *also)
        assert outcomes(results) == ["imported", "unreadable", "imported"]
        assert results[1]["reason"] == "unexpected ZeroDivisionError"
        [record] = [each for each in caplog.records if getattr(each, "outcome", "") == "unexpected"]
        assert "ZeroDivisionError at" in record.getMessage()
        assert "test_garbage.py:" in record.place
        for said in (caplog.text, str(record.__dict__), json.dumps(results)):
            assert "in-the-open" not in said
        assert MailCredentials.objects.count() == (0 if also else 2)

    @pytest.mark.parametrize(
        "error", [OperationalError, redis.ConnectionError, ConfigurationError, OSError, MemoryError]
    )
    def test_what_is_no_entrys_fault_ends_the_run(self, error, lines, line_of, granted, run, monkeypatch):
        def away(*_args, **_options):
            raise error("it is away")

        monkeypatch.setattr(engine, "SAVE_PAUSES", (0,))
        file = lines(line_of(granted()), line_of(granted()))
        with monkeypatch.context() as broken:
            broken.setattr(importing, "create_many", away)
            with pytest.raises((error, CommandError), match="it is away"):
                call_command("mail_oauth", "import", "jsonl", str(file), verbosity=0)
        assert not MailCredentials.objects.exists()
        assert run("import", "jsonl", file)[0] == 0
        assert MailCredentials.objects.count() == 2

    @pytest.mark.parametrize("error", ENDS_THE_RUN)
    def test_nor_is_it_taken_for_an_entrys_while_that_is_read(self, error):
        def away():
            raise error("it is away")

        with pytest.raises(error):
            apart("an entry", away)


class TestWhatIsWrittenWhereThereIsNothing:
    @pytest.mark.parametrize("nothing", ["0", "0.0", "null", "undefined", "None", " ", "", None, 0, False])
    def test_is_no_moment_and_no_number(self, nothing):
        assert moment_in(nothing) is None
        assert number_in(nothing, "expiry") is None

    @pytest.mark.parametrize("nothing", ["null", "undefined", "None", " ", "", None])
    def test_is_no_scope_and_no_word(self, nothing):
        assert scopes_in(nothing) is None
        assert flag_in(nothing, "use_oauth") is None

    @pytest.mark.parametrize("value", ["nan", "inf", "1e400", 10**400, float("nan"), True, [], {}, "soon"])
    def test_what_is_no_number_is_told(self, value):
        with pytest.raises(BadValue):
            number_in(value, "expiry")


class TestAnotherEncoding:
    """Where a character cannot be read, the address that it is of is another one."""

    LINE = '{"user": %s, "provider": "microsoft", "email": "ada@m\xfcller.example", "refresh_token": "a token"}'

    def test_is_told(self, report, user, provider, elsewhere):
        file = elsewhere / "lines"
        file.write_bytes((self.LINE % user.pk).encode("latin-1"))
        [result] = report("jsonl", file)
        assert (result["outcome"], result["reason"]) == ("unreadable", "encoding")

    def test_that_can_be_read_is_read(self, report, user, provider, elsewhere):
        file = elsewhere / "token.txt"
        file.write_bytes((self.LINE % user.pk).encode("utf-16"))
        assert outcomes(report("o365", "--path", file, "--user", user.pk)) == ["imported"]
        assert MailCredentials.objects.get().email == "ada@m\xfcller.example"

    def test_that_another_program_could_not_read_gives_no_address(self, report, user, provider, lines):
        line = (self.LINE % user.pk).replace("\xfc", "\ufffd")
        assert outcomes(report("jsonl", lines(line))) == ["no_address"]


@pytest.mark.parametrize(
    "address", ["not an address", "ada@example.com\x01auth=Bearer x\r\n", "", "ada@m\ufffdller.example"]
)
def test_a_users_own_address_is_one_or_none(address, lines, report, user, provider):
    type(user).objects.filter(pk=user.pk).update(email=address)
    line = {"user": user.pk, "provider": "microsoft", "refresh_token": "a token"}
    assert outcomes(report("jsonl", lines(line), "--address-of-user")) == ["no_address"]
    assert not MailCredentials.objects.exists()


class TestTheAppsOwnAccess:
    """A user's grant opens no mailbox that the app itself is let into."""

    @pytest.fixture(autouse=True)
    def _providers(self, settings, provider):
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        own = {"CLASS": "google", "ACCESS": "app", "SERVICE_ACCOUNT": "/nowhere"}
        settings.MAIL_OAUTH = {
            **settings.MAIL_OAUTH,
            "PROVIDERS": {"gmail": {**providers["google"], "CLASS": "google"}, "google": own},
        }

    @pytest.mark.parametrize("also", [{}, {"client_id": "another"}])
    @pytest.mark.parametrize("name", ["google", "google-oauth2"])
    def test_is_meant_by_no_name(self, name, also, lines, report, user):
        line = {"user": user.pk, "provider": name, "email": "ada@example.com", "refresh_token": "a token", **also}
        assert outcomes(report("jsonl", lines(line))) == ["unknown_provider"]

    def test_is_refused_as_an_option(self, lines, run):
        for option in ("google", "x=google"):
            code, text = run("import", "jsonl", lines("{}"), "--provider", option)
            assert (code, "no user's grant" in text) == (1, True)


class Looks(dict[str, Any]):
    """An entry of a token cache that counts who looks at it."""

    number = 0

    def get(self, *args: Any) -> Any:
        Looks.number += 1
        return super().get(*args)

    def items(self) -> Any:
        Looks.number += 1
        return super().items()


@pytest.mark.parametrize("named", [True, False])
def test_a_token_cache_is_read_by_a_few_looks_at_each_of_its_entries(named):
    """Not each by each: a megabyte of them would take minutes."""

    def looks_at(size: int) -> int:
        def entries() -> dict[str, Looks]:
            return {
                str(number): Looks(
                    secret="x", **({"home_account_id": str(number), "client_id": "c"} if named else {})
                )
                for number in range(size)
            }

        Looks.number = 0
        store = {name: entries() for name in ("RefreshToken", "AccessToken", "IdToken", "Account")}
        assert len(_entries("a file", "ada", store)) == size
        return Looks.number

    assert looks_at(80) == 2 * looks_at(40)
