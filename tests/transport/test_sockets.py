"""Plain connections to hosts of the settings keep the rules of HTTP calls."""

from __future__ import annotations

import socket

import pytest

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.transport import fetch_json, open_socket, trusting_context, wrap_socket
from tests.services import free_port


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


def test_a_listed_host_is_connected_to(quick, listener):
    with open_socket("127.0.0.1", listener.getsockname()[1], seconds=1) as sock:
        assert sock.gettimeout() == 1


def test_a_private_one_that_is_not_listed_hears_no_knock(settings, listener):
    settings.MAIL_OAUTH = {}
    with pytest.raises(ConfigurationError, match="PRIVATE_HOSTS"):
        open_socket("localhost", listener.getsockname()[1], seconds=1)
    listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listener.accept()


TOO_LONG = f"{'a' * 64}.example"
"""No name has so long a label, and the standard library says so by an error of its own."""


@pytest.mark.parametrize(
    ("host", "cause"),
    [("127.0.0.1", "refused"), ("mail.invalid", "dns"), (TOO_LONG, "dns"), ("a..b.example", "dns")],
)
def test_what_went_wrong_has_a_cause(quick, host, cause):
    with pytest.raises(TransportError) as raised:
        open_socket(host, free_port(), seconds=1)
    assert raised.value.cause == cause


def test_a_name_that_can_be_none_has_the_same_cause_in_a_call(quick, settings):
    """Only of a host that is listed: any other is refused as a mistake of the settings before it is called."""
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PRIVATE_HOSTS": [TOO_LONG]}
    with pytest.raises(TransportError) as raised:
        fetch_json(f"https://{TOO_LONG}/")
    assert (raised.value.cause, raised.value.outcome_unknown) == ("dns", False)


def test_a_host_without_tls(quick, listener):
    sock = open_socket("127.0.0.1", listener.getsockname()[1], seconds=1)
    accepted, _ = listener.accept()
    with accepted:
        accepted.sendall(b"* OK no TLS here\r\n")
        with pytest.raises(TransportError) as raised:
            wrap_socket(sock, "127.0.0.1", trusting_context())
    assert raised.value.cause == "tls"
    assert sock.fileno() == -1
