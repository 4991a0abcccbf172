"""Whatever is written as a URL: where it may be called, all parsers agree whom it names, and that is nobody inside."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import strategies as st
from urllib3.util import parse_url

from mail_oauth.transport.addresses import address_problem, is_public_address
from tests.fuzz.cases import corpus, fuzz

HOSTS = [
    "login.example",
    "8.8.8.8",
    "127.0.0.1",
    "169.254.169.254",
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.1",
    "[::1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2606:4700::1]",
    "[fe80::1%25eth0]",
    "localhost",
    "LOCALHOST.",
    "metadata.google.internal",
    "xn--bcher-kva.example",
    "b\u00fccher.example",
    "\u2460\u2461\u2466.0.0.1",
    "a" * 63 + ".example",
    "a" * 64 + ".example",
    "%6cocalhost",
]
BITS = [
    *HOSTS,
    "/",
    "//",
    "\\",
    "@",
    ":",
    ":80",
    ":99999",
    "#",
    "?",
    "%00",
    "%2f",
    "%40",
    ".",
    "..",
    " ",
    "\t",
    "\n",
]
BITS += [
    "\x00",
    "[",
    "]",
    "user",
    "user:password@",
    "token",
    "\u3002",
    "\uff0e",
    "\uff20",
    "\u200b",
    "\ud800",
    "a",
]

urls = st.one_of(
    st.tuples(st.sampled_from(["https://", "https:", "HTTPS://", "http://", " https://", "https:/", ""]),
              st.lists(st.sampled_from(BITS) | st.text(max_size=3), max_size=5).map("".join)).map("".join),
    st.tuples(st.sampled_from(HOSTS), st.lists(st.sampled_from(BITS), max_size=3).map("".join)).map(
        lambda pair: f"https://{pair[0]}/{pair[1]}"
    ),
    st.ip_addresses().map(lambda address: f"https://{f'[{address}]' if address.version == 6 else address}/"),
)  # fmt: skip


def number_of(host: str) -> str | None:
    """The address that the system's library takes a host for, without asking anybody."""
    with suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))
    with suppress(ValueError):
        return str(ipaddress.ip_address(host))
    return None


def holds(url: str) -> str:
    problem = address_problem(url)
    assert isinstance(problem, str)
    if problem:
        assert problem.isprintable()
        return "refused"
    ours = (urlsplit(url).hostname or "").lower()
    theirs = (parse_url(url).host or "").strip("[]").lower()
    sent = requests.Request("GET", url).prepare().url
    assert ours == theirs == (urlsplit(sent).hostname or "").lower()
    assert urlsplit(url).scheme == "https"
    number = number_of(ours.removesuffix("."))
    assert number is None or is_public_address(number)
    return "a number" if number else "a name"


def test_any_url(settings):
    settings.MAIL_OAUTH = {}
    fuzz("addresses", urls, holds)


@pytest.mark.parametrize("case", corpus("addresses"), ids=lambda case: case["name"])
def test_the_corpus(settings: Any, case: dict[str, Any]):
    settings.MAIL_OAUTH = {}
    assert holds(case["url"]) == case["expect"]
