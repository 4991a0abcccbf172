"""This app calls https and public addresses alone, unless the operator lists a host."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.providers.documents import document
from mail_oauth.tokens import Secret
from mail_oauth.transport import TokenEndpoint, address_problem, fetch_json, post_form
from mail_oauth.transport.peers import MOST_ADDRESSES
from tests.transport.certificates import Authority
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
    "[::127.0.0.1]",  # IPv4-compatible, and others that Python takes for global
    "[::ffff:0:127.0.0.1]",
    "[fec0::1]",
    "[5f00::1]",
    "[3fff::1]",
    "[2001:db8::1]",
    "[2606:4700::1%25eth0]",
    "168.63.129.16",  # Azure's metadata, under a public number
    "100.100.100.200",
    "[2002:a9fe:a9fe::]",
    "localhost",
    "LOCALHOST.",
    "x.localhost",
    "printer.local",
    "metadata.google.internal",
    "metadata.google.internal.",
    "router.home.arpa",
    "metadata",
    "keycloak",
]
DISGUISED = [
    "2130706433",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "0X7F.0.0.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "169.254.169.254.",
    "evil.example.0x7f",
    "1.2.3.4.5",
    "0x",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused(settings, host):
    settings.MAIL_OAUTH = {}
    assert "PRIVATE_HOSTS" in address_problem(f"https://{host}/token")


@pytest.mark.parametrize("host", DISGUISED)
def test_addresses_in_disguise_are_refused(settings, host):
    """System libraries read them as numbers; and behind a proxy nobody here sees where they lead."""
    settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["127.0.0.1"]}
    assert "in disguise" in address_problem(f"https://{host}/token")


@pytest.mark.parametrize(
    "host",
    [
        "login.example",
        "8.8.8.8",
        "[2606:4700::1]",
        "[64:ff9b::808:808]",
        "1.1.1.1:8443",
        "xn--bcher-kva.example",
        "a_b.example",
        "login.example.",
        "3com.example",
        "local.example",
    ],
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
        # Each is one host to urlsplit, and another to urllib3 or a browser.
        "https://169.254.169.254\\.login.example/",
        "https://login.example\\@169.254.169.254/",
        "https:\\\\169.254.169.254/",
        "https://login.example/\n@169.254.169.254/",
        "https://169.254.169.254\t.login.example/",
        " https://login.example/",
        "https://login.example /",
        "https://login.example\x00.evil.example/",
        "https://b\u00fccher.example/",
        "https://\uff11\uff16\uff19.254.169.254/",
        "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/",
        "https://login\u3002example/",
        "https://%31%36%39.254.169.254/",
        "https://login..example/",
        "https://.login.example/",
        "https://-login.example/",
        "https://login.example../",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://login.example/" + "a" * 2000,
        "https://[::1/",
        "https://[::1].evil.example/",
        "https://[v1.x]/",
    ],
    ids=repr,
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


@pytest.fixture
def names(monkeypatch):
    """A resolver: `names["login.example"] = ["10.0.0.1"]`; each answer is given once if it is an iterator."""
    known, real = {}, socket.getaddrinfo
    asked = []

    def resolve(host, port, *args, **kwargs):
        if host not in known:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        answer = known[host]
        addresses = next(answer) if isinstance(answer, Iterator) else answer
        return [found for each in addresses for found in real(each, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    known["asked"] = asked
    return known


@pytest.fixture
def knocks(monkeypatch):
    """The addresses that a connection was tried to; those of the documentation's networks lead nowhere."""
    tried, real = [], socket.socket.connect

    def connect(sock, address):
        tried.append(address[0])
        if ipaddress.ip_address(address[0]).is_loopback:
            return real(sock, address)
        raise OSError("no route")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


class TestANameThatLeadsToAPrivateAddress:
    @pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254"])
    def test_is_refused_without_so_much_as_a_knock(self, quick, names, knocks, address):
        names["login.example"] = [address]
        with pytest.raises(ConfigurationError, match="leads to a private address"):
            fetch_json("https://login.example/token")
        assert knocks == []

    def test_is_refused_before_a_byte_is_sent(self, quick, names):
        with Wire() as notes:
            port = notes.url.split(":")[2].split("/")[0]
            names["login.example"] = ["127.0.0.1"]
            with pytest.raises(ConfigurationError, match="leads to a private address"):
                fetch_json(f"https://login.example:{port}/token")
            assert (notes.requests, notes.connections) == ([], 0)

    def test_is_called_once_it_is_listed(self, settings, quick):
        settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["localhost"]}
        with Wire() as notes:
            assert fetch_json(notes.url.replace("127.0.0.1", "localhost")).status == 200

    def test_the_second_time_it_is_asked_is_not_asked_a_second_time(self, quick, names, knocks):
        """Rebinding: the first answer is public and is checked, the second would be private and be used."""
        names["login.example"] = iter([["8.8.8.8"], ["127.0.0.1"]])
        with pytest.raises(TransportError) as raised:
            fetch_json("https://login.example/token")
        assert (raised.value.cause, raised.value.outcome_unknown) == ("refused", False)
        assert (knocks, names["asked"]) == (["8.8.8.8"], ["login.example"])

    def test_of_several_addresses_the_private_ones_are_passed_over(self, quick, names, knocks):
        names["login.example"] = ["127.0.0.1", "8.8.8.8", "10.0.0.1", "9.9.9.9"]
        with pytest.raises(TransportError):
            fetch_json("https://login.example/token")
        assert knocks == ["8.8.8.8", "9.9.9.9"]

    def test_the_certificate_is_still_that_of_the_name(self, quick, names, settings, tmp_path, monkeypatch):
        """The connection is made to a number, but the number is not what must be proven."""
        authority = Authority(tmp_path)
        monkeypatch.setattr("mail_oauth.transport.peers.is_public_address", lambda _address: True)
        settings.MAIL_OAUTH = {"CA_BUNDLE": str(authority.bundle)}
        names["login.example"] = names["other.example"] = ["127.0.0.1"]
        with Wire(authority.context("login.example")) as notes:
            port = notes.url.split(":")[2].split("/")[0]
            assert fetch_json(f"https://login.example:{port}/token").status == 200
            assert notes.requests[0].headers["host"] == f"login.example:{port}"
            with pytest.raises(TransportError, match="tls"):
                fetch_json(f"https://other.example:{port}/token")


def test_a_name_with_many_addresses_costs_a_bounded_time(quick, names, knocks):
    names["login.example"] = [f"8.8.8.{number}" for number in range(50)]
    with pytest.raises(TransportError):
        fetch_json("https://login.example/token")
    assert len(knocks) == MOST_ADDRESSES


def test_connecting_counts_for_the_total_deadline(quick, names, monkeypatch, settings):
    """Addresses that swallow what is sent to them: each is waited for, together no longer than a call may take."""
    settings.MAIL_OAUTH = {"CONNECT_TIMEOUT": 1, "TOTAL_TIMEOUT": 1}
    waited = []

    def connect(sock, address):
        waited.append(sock.gettimeout())
        time.sleep(0.4)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    names["login.example"] = [f"8.8.8.{number}" for number in range(4)]
    with pytest.raises(TransportError) as raised:
        post_form("https://login.example/token", {})
    assert (raised.value.cause, raised.value.outcome_unknown) == ("connect_timeout", False)
    assert waited[0] <= 1
    assert waited == sorted(waited, reverse=True)
    assert len(waited) == 3


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://10.0.0.1/", "/token", "//evil.example/"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_any_document_leads_nowhere(wire, status, url, knocks):
    wire.status, wire.headers = status, {"Location": url}
    assert fetch_json(wire.url, bearer=Secret("x")).status == status
    with pytest.raises(TransportError, match="No JSON document"):
        document(wire.url)
    assert {request.path for request in wire.requests} == {"/token"}
    assert set(knocks) == {"127.0.0.1"}
