"""No value that holds a secret shows it, in whatever way it is printed, copied, or turned into something else."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import pickle
import pprint
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.forms.models import model_to_dict

from mail_oauth.connect.answers import Answer
from mail_oauth.encryption import Sealed, keyring, seal
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.near import NearCopies
from mail_oauth.parking import ParkedPair
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.engine import Outcome
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.tokens import AccessToken, HttpReply, Secret, TokenSet
from mail_oauth.transport import TokenEndpoint

CANARY = "canary-of-a-value-0123456789"
NOW = datetime.now(UTC)
SECRET = Secret(CANARY)
TOKEN = AccessToken(CANARY, issued_at=NOW, expires_at=NOW + timedelta(hours=1), generation=7)
TOKENS = TokenSet(access_token=SECRET, expires_in=60, refresh_token=SECRET, id_token=SECRET)
VERDICT = Verdict(action=Action.GRANTED, tokens=TOKENS, rotated=SECRET)

VALUES = {
    "secret": SECRET,
    "access token": TOKEN,
    "tokens": TOKENS,
    "reply": HttpReply(status=200, body=CANARY.encode(), headers={"location": CANARY}),
    "answer of the callback": Answer(state=SECRET, code=SECRET, error="", iss=None),
    "verdict": VERDICT,
    "outcome": Outcome(verdict=VERDICT, token=TOKEN),
    "parked pair": ParkedPair.of(1, SECRET, TOKENS, NOW),
    "token endpoint": TokenEndpoint(url="https://x/", client_id="id", client_secret=SECRET),
}
printed = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


def near_copies() -> NearCopies:
    store, pk = NearCopies(), uuid4()
    store.keep(pk, TOKEN, store.look(pk), 60)
    return store


@printed
def test_no_way_of_printing_shows_it(value):
    shown = io.StringIO()
    print(value, [value], {"key": value}, (value,), file=shown)
    pprint.pprint({"nested": [value]}, stream=shown)
    shown.write(f"{value!r} {value!s} {value!a} {value} %s %r {{}}".format(value) % (value, value))
    shown.write(repr(ValueError(value)) + str(ValueError(value)) + "".join(map(str, [value])))
    with contextlib.suppress(TypeError):
        shown.write(f"{value:>40}")
    assert CANARY not in shown.getvalue()
    assert CANARY[:10] not in shown.getvalue()


@printed
def test_no_attribute_that_is_looked_at_shows_it(value):
    names = [name for name in dir(value) if not name.startswith("__") and not callable(getattr(value, name, None))]
    if isinstance(value, HttpReply):
        names.remove("body")  # they are the provider's raw words
        names.remove("headers")
    if isinstance(value, Secret):
        names.remove("_value")
    assert CANARY not in repr({name: getattr(value, name) for name in names})
    assert not hasattr(value, "__dict__") or CANARY not in repr(vars(value))


@printed
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_holds_it(value, protocol):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps({"nested": [value]}, protocol)


@printed
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: copy.deepcopy([value])])
def test_a_copy_is_refused_or_hides_it_as_well(value, copied):
    with contextlib.suppress(TypeError):
        assert CANARY not in repr(copied(value))


@printed
@pytest.mark.parametrize("encoder", [json.JSONEncoder, DjangoJSONEncoder])
def test_no_json_holds_it(value, encoder):
    with pytest.raises(TypeError):
        json.dumps({"nested": [value]}, cls=encoder)
    assert CANARY not in json.dumps({"nested": value}, default=str)


@pytest.mark.parametrize("name", [name for name in VALUES if name not in {"secret", "access token", "reply"}])
def test_asdict_refuses_or_hides_it(name):
    """But for a reply, whose body is what is wanted of it."""
    value = VALUES[name]
    with contextlib.suppress(TypeError):
        assert CANARY not in repr(dataclasses.asdict(value))
    with contextlib.suppress(TypeError):
        assert CANARY not in repr(dataclasses.astuple(value))


def test_stores_of_values_show_how_many_they_hold():
    assert CANARY not in repr([near_copies(), vars(near_copies())])


class TestKeys:
    def test_show_their_fingerprint_alone(self, settings):
        settings.FERNET_KEYS = [CANARY]
        shown = f"{keyring()!r} {keyring()} {keyring().keys!r}"
        assert keyring().keys[0].fingerprint in shown
        assert CANARY not in shown
        assert keyring().keys[0].raw.decode() not in shown

    def test_are_not_pickled(self, settings):
        settings.FERNET_KEYS = [CANARY]
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(keyring())


class TestSealedValues:
    """They are safe to show, store and pickle: none opens without the key, and at its own place."""

    def test_hold_no_secret(self):
        sealed = seal(SECRET, "here")
        for shown in (repr(sealed), sealed.text, repr(pickle.dumps(sealed)), repr(dataclasses.asdict(sealed))):
            assert CANARY not in shown
        assert copy.deepcopy(sealed) == sealed
        assert isinstance(sealed, Sealed)


@pytest.mark.django_db
class TestRows:
    @pytest.fixture
    def row(self, connect):
        mailbox = connect()
        tokens = {"access_token": mailbox.sealed("access_token", SECRET)}
        MailCredentials.objects.filter(pk=mailbox.pk).update(
            **tokens, refresh_token=mailbox.sealed("refresh_token", SECRET)
        )
        return MailCredentials.objects.get(pk=mailbox.pk)

    @pytest.fixture
    def attempt(self, user):
        attempt = ConnectAttempt(user=user, provider="google", state_digest="x", expires_at=NOW)
        attempt.code_verifier = seal(SECRET, attempt.place("code_verifier"))
        attempt.nonce = seal(SECRET, attempt.place("nonce"))
        attempt.save()
        return attempt

    def test_show_none(self, row, attempt):
        assert row.open_refresh_token() == SECRET
        for one in (row, attempt):
            everyone = type(one)._default_manager.all()
            shown = [
                repr(one),
                str(one),
                repr(vars(one)),
                repr(model_to_dict(one)),
                repr(everyone),
                repr(list(everyone.values())),
                repr(list(everyone.values_list())),
                str(everyone.query),
                repr(pickle.dumps(one)),
                repr(pickle.dumps(list(everyone))),
                repr(vars(copy.deepcopy(one))),
                json.dumps(model_to_dict(one), default=str),
            ]
            assert not [text for text in shown if CANARY in text]

    def test_filtering_by_a_token_is_not_possible(self, row):
        from django.core.exceptions import FieldError

        with pytest.raises(FieldError) as refused:
            list(MailCredentials.objects.filter(refresh_token=CANARY))
        assert CANARY not in str(refused.value)

    def test_nor_is_storing_one_in_the_open(self, row):
        from mail_oauth.exceptions import UnsealedValue

        with pytest.raises(UnsealedValue) as refused:
            MailCredentials.objects.filter(pk=row.pk).update(refresh_token="in the open")
        assert "in the open" not in str(refused.value)
