"""Private keys, assertions and platforms' tokens stand in no value, message or log; what is wrong is told without them."""

from __future__ import annotations

import json
import logging
import traceback

import pytest

from mail_oauth.exceptions import ConfigurationError, ProviderUnavailable
from mail_oauth.providers import provider_for
from mail_oauth.providers.certificates import SignedAssertion, _pair_in
from mail_oauth.providers.service_accounts import ServiceAccount, _key_in
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from tests.app_only.certificates import Certificate

pytestmark = pytest.mark.django_db


def marks(pem: str) -> list[str]:
    """Parts of a key by which it would be known."""
    lines = [line for line in pem.splitlines() if "-----" not in line]
    return [lines[1], lines[len(lines) // 2]]


def spoiled(pem: str) -> str:
    return f"{pem[:200]}!!!!{pem[204:]}"


def told_by(error: BaseException) -> str:
    """What a page for developers shows of an error: its frames with their locals, but for the test's own."""
    beyond = error.__traceback__ and error.__traceback__.tb_next
    return "".join(traceback.TracebackException(type(error), error, beyond, capture_locals=True).format())


def test_what_values_show_of_themselves(site, settings):
    certificate = site.certificate()
    account = site.provider.add_service_account()
    site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=certificate.path.read_text())
    site.change("domain", SERVICE_ACCOUNT=account)
    work, domain = provider_for("work"), provider_for("domain")
    [assertion] = work.client_assertions()
    shown = " ".join(
        map(
            repr,
            [
                *(
                    work,
                    vars(work),
                    domain,
                    vars(domain),
                    work.token_endpoint(),
                    work.token_endpoint().by_each_secret(),
                ),
                *(assertion, assertion("https://x"), domain.service_account(), domain.service_account().key()),
                *(assertion.pair(), _pair_in.cache_parameters()),
            ],
        )
    )
    for mark in (*marks(certificate.private), *marks(account["private_key"])):
        assert mark not in shown


def test_logs_and_errors_of_a_refused_assertion(site, add, caplog):
    caplog.set_level(logging.DEBUG)
    certificate = site.certificate()
    site.provider.register_app(certificates=[certificate.public])
    site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=str(certificate.path))
    mailbox = add("work", "ada@contoso.example")
    before = site.provider.issued
    fault = site.provider.fault(Fault.oauth_error("invalid_client", status=401, aadsts=700027))
    with fault, pytest.raises(ProviderUnavailable) as raised:
        mailbox.get_access_token()
    told = told_by(raised.value)
    told += " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    shown = site.provider.issued - before
    assert shown
    assert not [each for each in (*shown, *marks(certificate.private)) if each in told]


UNFIT = {
    "no key": ("has no private key", lambda each: each.public),
    "no certificate": ("has no certificate", lambda each: each.private),
    "another's key": ("not the certificate's", lambda each: each.public + _other(each).private),
    "a spoiled key": ("cannot be read", lambda each: each.public + spoiled(each.private)),
    "a spoiled certificate": ("certificate that cannot be read", lambda each: spoiled(each.public) + each.private),
    "nothing": ("has no private key", lambda each: ""),
}


def _other(certificate: Certificate) -> Certificate:
    path = certificate.path.with_name("another.pem")
    return Certificate(path)


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_wrong_with_a_certificate_is_told_without_it(site, name):
    certificate = site.certificate()
    words, made = UNFIT[name]
    text = made(certificate)
    certificate.path.write_text(text)
    assertion = SignedAssertion("app", str(certificate.path), "PS256", 'the option "CLIENT_CERTIFICATE"')
    with pytest.raises(ConfigurationError, match=words) as raised:
        assertion.pair()
    assert not [mark for mark in marks(certificate.private) if mark in told_by(raised.value)]
    with pytest.raises(ConfigurationError, match=words) as raised:
        assertion("https://login.example/token")
    told = told_by(raised.value)
    assert "CLIENT_CERTIFICATE" in told
    assert not [mark for mark in marks(certificate.private) if mark in told]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda key: "[]", "of no service account"),
        (lambda key: "{", "no JSON"),
        (lambda key: {**key, "type": "authorized_user"}, "of no service account"),
        (lambda key: {**key, "private_key_id": ""}, "lacks private_key_id"),
        (lambda key: {**key, "private_key": spoiled(key["private_key"])}, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_service_account_is_told_without_its_key(site, change, words):
    key = site.provider.add_service_account()
    made = change(key)
    account = ServiceAccount(Secret(made if isinstance(made, str) else json.dumps(made)), "the option")
    with pytest.raises(ConfigurationError, match=words) as raised:
        account.assertion(subject="ada@example.com", scope="x", audience="y")
    told = told_by(raised.value)
    assert not [mark for mark in marks(key["private_key"]) if mark in told]
    assert _key_in.cache_info().maxsize == 32


@pytest.mark.parametrize("content", ["", "no token", "a.b", "a.b.c d.e.f"])
def test_a_platforms_file_without_a_token_is_told(site, content):
    path = site.directory / "token"
    path.write_text(content)
    site.change("work", "CLIENT_SECRET", FEDERATED_TOKEN_FILE=str(path))
    [assertion] = provider_for("work").client_assertions()
    with pytest.raises(ConfigurationError, match="holds no JWT"):
        assertion("https://x")
