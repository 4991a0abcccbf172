"""The fake provider lets an app in only by a good signature, for the right audience, in time, and once."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from urllib.parse import urlencode
from uuid import uuid4

import jwt
import pytest

from mail_oauth.providers.certificates import SignedAssertion
from mail_oauth.testing.app_rules import ASSERTION_TYPE, JWT_BEARER
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.provider import FakeProvider
from tests.app_only.certificates import Certificate

NOW = 1_800_000_000
OUTLOOK = "https://outlook.office365.com/.default"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "app.pem"
    yield Certificate(path)
    path.unlink()


@pytest.fixture
def kit(certificate):
    with FakeProvider(clock=lambda: NOW) as provider:
        provider.register_app(certificates=[certificate.public])
        yield provider


def post(url: str, **form: str) -> tuple[int, dict]:
    request = urllib.request.Request(url, urlencode(form).encode())  # of the fake provider
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def token_url(kit, tenant: str = "contoso.example") -> str:
    return kit.urls("microsoft", tenant)["token"]


def signed(kit, certificate, *, algorithm: str = "PS256", headers: dict | None = None, **changes: object) -> str:
    pair = SignedAssertion(kit.client_id, str(certificate.path), algorithm, "x").pair()
    claims = {
        "aud": token_url(kit),
        "iss": kit.client_id,
        "sub": kit.client_id,
        "jti": str(uuid4()),
        "exp": NOW + 300,
        **changes,
    }
    return jwt.encode(claims, pair.key, algorithm=algorithm, headers=headers or pair.thumbprint(algorithm))


def ask(
    kit, assertion: str, *, tenant: str = "contoso.example", scope: str = OUTLOOK
) -> tuple[int, int | None, dict]:
    status, said = post(
        token_url(kit, tenant),
        grant_type="client_credentials",
        client_id=kit.client_id,
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=assertion,
        scope=scope,
    )
    return status, (said.get("error_codes") or [None])[0], said


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_a_good_assertion_is_given_a_token_without_refresh_token_or_scope(kit, certificate, algorithm):
    status, _, said = ask(kit, signed(kit, certificate, algorithm=algorithm))
    assert status == 200
    assert set(said) == {"access_token", "expires_in", "ext_expires_in", "token_type"}


def test_each_assertion_is_good_once(kit, certificate):
    assertion = signed(kit, certificate)
    assert ask(kit, assertion)[0] == 200
    assert ask(kit, assertion)[:2] == (401, 50027)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"aud": "https://login.example/token"}, 700023),
        ({"sub": "another-app"}, 700021),
        ({"exp": NOW - 1}, 700024),
        ({"exp": NOW + 3600}, 700024),
        ({"nbf": NOW + 60}, 700024),
        ({"jti": ""}, 50027),
        ({"iss": "https://cluster.example"}, 700211),
    ],
)
def test_what_is_wrong_with_an_assertion_is_told(kit, certificate, changes, number):
    assert ask(kit, signed(kit, certificate, **changes))[:2] == (401, number)


def test_a_signature_by_another_key_is_refused(kit, certificate, tmp_path):
    other = Certificate(tmp_path / "other.pem")
    assert ask(kit, signed(kit, other))[:2] == (401, 700027)
    pair = SignedAssertion(kit.client_id, str(certificate.path), "PS256", "x").pair()
    assert ask(kit, signed(kit, other, headers=pair.thumbprint("PS256")))[:2] == (401, 700027)
    (tmp_path / "other.pem").unlink()


@pytest.mark.parametrize("tenant", ["common", "organizations", "consumers"])
def test_an_app_has_a_token_of_one_tenant_alone(kit, certificate, tenant):
    assertion = signed(kit, certificate, aud=token_url(kit, tenant))
    assert ask(kit, assertion, tenant=tenant)[1] == 9001023


@pytest.mark.parametrize("scope", ["https://outlook.office365.com/IMAP.AccessAsApp", f"{OUTLOOK} openid"])
def test_an_app_asks_for_all_that_it_was_given(kit, certificate, scope):
    assert ask(kit, signed(kit, certificate), scope=scope)[1] == 1002012


def test_which_mailboxes_it_opens_is_permitted(kit, certificate):
    kit.register_app(certificates=[certificate.public], mailboxes=["Ada@contoso.example"])
    token = ask(kit, signed(kit, certificate))[2]["access_token"]
    assert kit.is_valid_access_token(token, "ada@contoso.example")
    assert not kit.is_valid_access_token(token, "bob@contoso.example")


def by_service_account(kit, account: dict, **changes: object) -> tuple[int, dict]:
    claims = {
        "iss": account["client_email"],
        "sub": "ada@example.com",
        "scope": "https://mail.google.com/",
        "aud": kit.urls("google")["token"],
        "iat": NOW,
        "exp": NOW + 3600,
        **changes,
    }
    key = account["private_key"]
    assertion = jwt.encode(claims, key, algorithm="RS256", headers={"kid": account["private_key_id"]})
    return post(kit.urls("google")["token"], grant_type=JWT_BEARER, assertion=assertion)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, None, ""),
        ({"sub": "nobody@example.com"}, "invalid_grant", "Invalid email or User ID"),
        ({"sub": "eve@elsewhere.example"}, "invalid_grant", "Invalid email or User ID"),
        ({"exp": NOW + 3601}, "invalid_grant", "short-lived token"),
        ({"iat": NOW + 60}, "invalid_grant", "short-lived token"),
        ({"aud": "https://oauth2.example/token"}, "invalid_grant", "Invalid JWT Signature"),
        ({"iss": "other@project.example"}, "invalid_grant", "account not found"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "unauthorized_client", "Client is unauthorized"),
    ],
)
def test_a_service_account_is_let_in_for_its_domain(kit, changes, error, words):
    for address in ("ada@example.com", "eve@elsewhere.example"):
        kit.add_account(address)
    _, said = by_service_account(kit, kit.add_service_account(), **changes)
    assert said.get("error") == error
    assert words in said.get("error_description", "")


def test_a_key_that_was_deleted_signs_no_more(kit):
    kit.add_account("ada@example.com")
    former = kit.add_service_account()
    kit.add_service_account(keep_keys=True)
    assert by_service_account(kit, former)[0] == 200
    kit.add_service_account()
    assert "Signature" in by_service_account(kit, former)[1]["error_description"]


def test_it_remembers_assertions_as_secrets(kit, certificate):
    assertion = signed(kit, certificate)
    ask(kit, assertion)
    assert assertion in kit.issued


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.expired_secret(), "invalid_client"), (Fault.not_delegated(), "unauthorized_client")],
)
def test_its_faults_are_worded_as_the_providers_word_them(kit, certificate, fault, error):
    kit.fail_next(1, fault)
    assert ask(kit, signed(kit, certificate))[2]["error"] == error
