"""This app calls https and public addresses alone, unless the operator lists a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.tokens import Secret
from mail_oauth.transport import TokenEndpoint, address_problem, fetch_json
from tests.wire import Wire

PRIVATE = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a00:1]",
    "[64:ff9b:1::1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::1]",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused(settings, host):
    settings.MAIL_OAUTH = {}
    assert "PRIVATE_HOSTS" in address_problem(f"https://{host}/token")


@pytest.mark.parametrize(
    "host",
    ["login.example", "8.8.8.8", "[2606:4700::1]", "[64:ff9b::808:808]", "1.1.1.1:8443", "xn--bcher-kva.example"],
)
def test_public_names_and_addresses_are_called(settings, host):
    settings.MAIL_OAUTH = {}
    assert address_problem(f"https://{host}/token?x=y") == ""


@pytest.mark.parametrize("host", ["10.0.0.1", "keycloak.corp"])
def test_a_listed_host_is_called_by_https(settings, host):
    settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["10.0.0.1", "Keycloak.CORP"]}
    assert address_problem(f"https://{host}/token") == ""
    assert address_problem(f"http://{host}/token") == f"{host} must be reached by https."


def test_a_listed_host_is_called_by_http_only_in_development(settings, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["127.0.0.1"]}
    assert address_problem("http://127.0.0.1:8000/token") == ""
    assert "https" in address_problem("http://login.example/token"), "the switch is not enough"
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT")
    assert "https" in address_problem("http://127.0.0.1:8000/token"), "nor is the list"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "login.example",
        "//login.example/",
        "ftp://login.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///token",
        "https://[",
        "https://login.example:x/",
        "https://login.example:99999/",
        "https://user@login.example/",
        "https://user:password@login.example/",
        "https://@login.example/",
        "https://login.example/#fragment",
    ],
)
def test_what_is_no_plain_https_url_is_refused(settings, url):
    settings.MAIL_OAUTH = {}
    assert address_problem(url)


@given(st.text())
def test_any_text_is_judged(text):
    assert isinstance(address_problem(text), str)
    assert isinstance(address_problem(f"https://{text}"), str)


def test_every_call_is_checked(settings):
    settings.MAIL_OAUTH = {}
    for act in (
        lambda: fetch_json("https://169.254.169.254/latest"),
        lambda: TokenEndpoint(url="http://login.example/", client_id="x").refresh(Secret("x")),
    ):
        with pytest.raises(ConfigurationError):
            act()


class TestANameThatLeadsToAPrivateAddress:
    def test_is_refused_before_a_byte_is_sent(self, quick):
        with Wire() as notes:
            port = notes.url.split(":")[2].split("/")[0]
            with pytest.raises(ConfigurationError, match="leads to a private address"):
                fetch_json(f"https://localhost:{port}/token")
            assert notes.requests == []

    def test_is_called_once_it_is_listed(self, settings, quick):
        settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["localhost"]}
        with Wire() as notes:
            assert fetch_json(notes.url.replace("127.0.0.1", "localhost")).status == 200
