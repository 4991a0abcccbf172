"""What no app could be let in with is found by `manage.py check`, with the line to write."""

from __future__ import annotations

import json

import jwt
import pytest

from mail_oauth.testing.registrations import Registering
from mail_oauth.testing.store import Store
from tests.app_only.certificates import Certificate
from tests.checks.conftest import MICROSOFT, numbers

APP = {**MICROSOFT, "CLASS": "microsoft", "ACCESS": "app", "TENANT": "contoso.com"}


class Registry(Registering):
    """Makes service accounts."""

    def __init__(self) -> None:
        self._store = Store()


@pytest.fixture
def found(production):
    """`found(options, *without)`: what is found in a site with this provider, hints included."""

    def look(options, *without):
        kept = {name: value for name, value in options.items() if name not in without}
        messages = production(ours={"PROVIDERS": {"work": kept}})
        return numbers(messages), " ".join(f"{message.msg} {message.hint}" for message in messages)

    return look


@pytest.fixture
def certificate(tmp_path):
    made = Certificate(tmp_path / "app.pem")
    yield made
    for file in tmp_path.iterdir():
        file.unlink()


def test_a_site_that_is_right_has_no_finding(found, certificate, tmp_path):
    assert found(APP)[0] == []
    assert found({**APP, "CLIENT_CERTIFICATE": str(certificate.path)}, "CLIENT_SECRET")[0] == []
    account = tmp_path / "account.json"
    account.write_text(json.dumps(Registry().add_service_account()))
    google = {"CLASS": "google", "ACCESS": "app"}
    assert found({**google, "SERVICE_ACCOUNT": str(account)})[0] == []
    assert found({**google, "SERVICE_ACCOUNT": Registry().add_service_account()})[0] == []
    token = tmp_path / "token"
    token.write_text(jwt.encode({"sub": "x"}, certificate.key, algorithm="RS256"))
    assert found({**APP, "FEDERATED_TOKEN_FILE": str(token)}, "CLIENT_SECRET")[0] == []


@pytest.mark.parametrize(
    "tenant", ["common", "organizations", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad", None]
)
def test_an_endpoint_of_many_tenants(found, tenant):
    options = {**APP, "TENANT": tenant} if tenant else {name: APP[name] for name in APP if name != "TENANT"}
    ids, text = found(options)
    assert ids == ["E035"]
    assert 'Write "TENANT": the GUID or domain' in text


@pytest.mark.parametrize(
    "scopes",
    [
        ["https://outlook.office.com/IMAP.AccessAsUser.All"],
        ["https://outlook.office365.com/.default", "https://graph.microsoft.com/.default"],
        [],
    ],
)
def test_scopes_of_users(found, scopes):
    ids, text = found({**APP, "SCOPES": scopes})
    assert "E036" in ids
    assert '"SCOPES": ["https://outlook.office365.com/.default"]' in text


def test_a_certificate_that_ends(found, certificate):
    certificate.write(days=29)
    ids, text = found({**APP, "CLIENT_CERTIFICATE": str(certificate.path)}, "CLIENT_SECRET")
    assert ids == ["W035"]
    assert "CLIENT_CERTIFICATE" in text


def test_a_certificate_that_has_ended(found, certificate):
    certificate.write(days=-1)
    ids, text = found({**APP, "CLIENT_CERTIFICATE": str(certificate.path)}, "CLIENT_SECRET")
    assert ids == ["E037"]
    assert "ended" in text


@pytest.mark.parametrize(
    "options",
    [
        {**APP, "CLIENT_CERTIFICATE": "/nowhere/app.pem"},
        {**APP, "CLIENT_CERTIFICATE": ["/nowhere/app.pem"]},
        {**APP, "FEDERATED_TOKEN_FILE": "/nowhere/token"},
        {"CLASS": "google", "ACCESS": "app", "SERVICE_ACCOUNT": "/nowhere/account.json"},
        {"CLASS": "google", "ACCESS": "app", "SERVICE_ACCOUNT": {"type": "service_account"}},
    ],
)
def test_a_file_that_holds_nothing(found, options):
    ids, text = found(options)
    assert ids == ["E037"]
    assert "nowhere" in text or "lacks" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**APP, "ACCESS": "application"}, "is one of user, app"),
        ({**MICROSOFT, "CLASS": "yahoo", "ACCESS": "app"}, "at Microsoft and Google only"),
        ({**APP, "CERTIFICATE_ALGORITHM": "HS256"}, "is one of PS256, RS256"),
        ({**APP, "CLIENT_CERTIFICATE": 1}, "the path of a PEM file"),
        ({**APP, "CLIENT_CERTIFICATE": []}, "the path of a PEM file"),
        ({"CLASS": "google", "ACCESS": "app"}, "needs SERVICE_ACCOUNT"),
        ({"CLASS": "google", "ACCESS": "app", "SERVICE_ACCOUNT": 7}, "the path of a JSON file"),
        ({**APP, "FEDERATED_TOKEN_FILE": 7}, "must be a path"),
        ({name: APP[name] for name in APP if name != "CLIENT_SECRET"}, "needs CLIENT_SECRET"),
    ],
)
def test_options_of_a_wrong_kind(found, options, words):
    ids, text = found(options)
    assert ids == ["E002"]
    assert words in text


def test_a_certificate_is_as_good_as_a_secret_where_users_consent(found, certificate):
    options = {**MICROSOFT, "CLASS": "microsoft", "CLIENT_CERTIFICATE": str(certificate.path)}
    assert found(options, "CLIENT_SECRET")[0] == []
