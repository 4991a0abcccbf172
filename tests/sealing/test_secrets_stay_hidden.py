"""No secret shows where values are printed, copied, pickled, serialised or dumped."""

from __future__ import annotations

import copy
import io
import json
import pickle
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder

from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.tokens import AccessToken, HttpReply, Secret, TokenSet

CANARY = "canary-token-in-clear"
NOW = datetime(2030, 1, 1, tzinfo=UTC)

VALUES = {
    "secret": Secret(CANARY),
    "access token": AccessToken(CANARY, issued_at=NOW, expires_at=NOW + timedelta(hours=1), generation=7),
    "token set": TokenSet(
        access_token=Secret(CANARY), expires_in=60, refresh_token=Secret(CANARY), id_token=Secret(CANARY)
    ),
    "reply": HttpReply(status=200, body=CANARY.encode(), headers={"x-echo": CANARY}),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
class TestNoWayOfPrintingShowsIt:
    def test_repr_str_format_and_f_string(self, value):
        shown = f"{value!r} {value!s} {value} %s %r {{}}".format(value) % (value, value)
        assert CANARY not in shown

    def test_inside_containers(self, value):
        assert CANARY not in f"{[value]} {({'key': value},)}"

    def test_in_tracebacks(self, value):
        try:
            raise ValueError(value)
        except ValueError:
            assert CANARY not in traceback.format_exc()


@pytest.mark.parametrize("value", [VALUES["secret"], VALUES["access token"], VALUES["token set"]], ids=str)
class TestNoWayOfSavingHoldsIt:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, value, protocol):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(value, protocol)

    def test_copies_are_refused_as_pickles_are(self, value):
        with pytest.raises(TypeError):
            copy.deepcopy(value)

    @pytest.mark.parametrize("encoder", [json.JSONEncoder, DjangoJSONEncoder])
    def test_json(self, value, encoder):
        with pytest.raises(TypeError):
            json.dumps(value, cls=encoder)


def test_a_secret_is_not_a_string_and_has_no_dict():
    secret = Secret(CANARY)
    assert not isinstance(secret, str)
    assert not hasattr(secret, "__dict__")
    assert len(secret) == len(CANARY)
    assert secret == Secret(CANARY) != Secret("other")
    assert secret != CANARY
    assert {secret: 1}[Secret(CANARY)] == 1
    assert not Secret("")


def secrets_of(mailbox: MailCredentials) -> list[str]:
    token = mailbox.open_access_token()
    assert token is not None
    return [token.reveal(), mailbox.open_refresh_token().reveal()]


@pytest.mark.django_db
class TestARow:
    def test_its_pickle_holds_sealed_text_only(self, connect):
        mailbox = connect()
        mailbox.get_access_token()
        blob = pickle.dumps(mailbox)
        assert not any(secret.encode() in blob for secret in secrets_of(mailbox))
        assert secrets_of(pickle.loads(blob)) == secrets_of(mailbox)

    def test_its_dict_repr_and_values_hold_none(self, connect):
        mailbox = connect()
        shown = f"{mailbox!r} {mailbox} {vars(mailbox)} {list(MailCredentials.objects.values())}"
        assert not any(secret in shown for secret in secrets_of(mailbox))

    @pytest.mark.parametrize("form", ["json", "xml", "jsonl"])
    def test_dumpdata_holds_sealed_text_and_loads_again(self, connect, form, tmp_path):
        mailbox = connect()
        secrets = secrets_of(mailbox)
        dumped = io.StringIO()
        call_command("dumpdata", "mail_oauth", format=form, stdout=dumped)
        assert not any(secret in dumped.getvalue() for secret in secrets)
        assert mailbox.refresh_token.text in dumped.getvalue()
        fixture = tmp_path / f"mailboxes.{form}"
        fixture.write_text(dumped.getvalue())
        MailCredentials.objects.all().delete()
        call_command("loaddata", str(fixture), verbosity=0)
        assert secrets_of(MailCredentials.objects.get(pk=mailbox.pk)) == secrets

    def test_dumpdata_keeps_an_empty_column_empty(self, connect, tmp_path):
        mailbox = connect(access_token=None)
        fixture = tmp_path / "mailboxes.json"
        call_command("dumpdata", "mail_oauth", output=str(fixture), verbosity=0)
        MailCredentials.objects.all().delete()
        call_command("loaddata", str(fixture), verbosity=0)
        assert MailCredentials.objects.get(pk=mailbox.pk).access_token is None

    def test_a_fixture_with_a_token_in_clear_is_refused(self, connect, tmp_path):
        from django.core.serializers.base import DeserializationError

        mailbox = connect()
        fixture = tmp_path / "mailboxes.json"
        call_command("dumpdata", "mail_oauth", output=str(fixture), verbosity=0)
        fixture.write_text(fixture.read_text().replace(mailbox.refresh_token.text, "a token in clear"))
        with pytest.raises(DeserializationError):
            call_command("loaddata", str(fixture), verbosity=0)

    def test_a_blob_moved_to_another_row_or_column_is_refused(self, connect):
        from mail_oauth.exceptions import SealError

        ada, grace = connect(), connect()
        grace.refresh_token = ada.refresh_token
        with pytest.raises(SealError):
            grace.open_refresh_token()
        ada.access_token = ada.refresh_token
        with pytest.raises(SealError):
            ada.open_access_token()

    def test_a_blob_of_another_table_is_refused(self, connect, user):
        from mail_oauth.encryption import seal
        from mail_oauth.exceptions import SealError

        mailbox = connect()
        attempt = ConnectAttempt(id=mailbox.pk)
        mailbox.refresh_token = seal(Secret("nonce"), attempt.place("refresh_token"))
        with pytest.raises(SealError):
            mailbox.open_refresh_token()
