"""Which addresses this app may call: https, public, named without credentials (SSRF, RFC 9700 §4.11)."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from oauthlib.oauth2 import is_secure_transport

from mail_oauth.conf import app_settings

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 §2.1
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291 §2.4: nothing else is assigned to anybody
_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # RFC 9637, which Python 3.11 does not know yet
_AZURE = ipaddress.ip_address(
    "168.63.129.16"
)  # a public number that leads to the metadata of the host it is used on

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_BRACKETED = re.compile(r"(?:[^@\[\]]*@)?\[[^\[\]]+\](?::[0-9]*)?")  # urlsplit takes a.example[::1] for ::1
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_INSIDE = ("localhost", "local", "internal", "home.arpa")
"""Domains that never lead out of a network (RFC 6761 §6.3, RFC 6762 §3, RFC 8375, ICANN for `internal`)."""

LONGEST_URL = 2000
"""In characters; no provider's endpoint comes near."""


def is_private_host_allowed(host: str) -> bool:
    """Tell whether the operator listed `host` in `PRIVATE_HOSTS`."""
    return host.lower() in {listed.lower() for listed in app_settings().private_hosts}


def is_public_address(address: str) -> bool:
    """Tell whether an IP address is reachable by everyone: not private, loopback, link-local or multicast.

    Raises `ValueError` for what is none.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:  # one that means something on one network alone
            return False
        carried = _carried(parsed)
        if carried is None:
            return parsed in _GLOBAL_UNICAST and parsed not in _DOCUMENTATION and parsed.is_global
        parsed = carried
    return parsed.is_global and not parsed.is_multicast and parsed != _AZURE


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for: it is what would be reached in the end."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def address_problem(url: str) -> str:
    """Say why `url` may not be called, or return an empty string.

    Plain http is for development alone: the host must be listed in `PRIVATE_HOSTS` and oauthlib's own
    switch, the environment variable `OAUTHLIB_INSECURE_TRANSPORT`, be set.
    """
    if problem := _text_problem(url):
        return problem
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        if "[" in parts.netloc or "]" in parts.netloc:
            ipaddress.IPv6Address(host.partition("%")[0] if _BRACKETED.fullmatch(parts.netloc) else "")
    except ValueError:
        return f"{url!r} is not a URL."
    if not host or parts.scheme not in {"https", "http"}:
        return f"{url!r} is not an https URL."
    if parts.username is not None or parts.fragment:
        return f"The URL of {host} must hold neither credentials nor a fragment."
    listed = is_private_host_allowed(host)
    if parts.scheme == "http" and not (listed and is_secure_transport(url)):
        return f"{host} must be reached by https."
    return "" if listed else _host_problem(host)


def _text_problem(url: str) -> str:
    """Say what no URL may hold: where one of these stands, parsers disagree about the host."""
    if len(url) > LONGEST_URL:
        return f"{url[:40]!r} … is too long for a URL."
    if "\\" in url or " " in url or not (url.isascii() and url.isprintable()):
        return f"{url!r} holds characters that no URL may hold (a name such as bücher.example is written in punycode)."
    return ""


def _host_problem(host: str) -> str:
    """Say why a host that nobody listed may not be called, as far as its name tells.

    Where a name leads is checked when the connection is made (`mail_oauth.transport.peers`). Behind a proxy it is
    the proxy that looks the name up, so what can be known from it must be judged here.
    """
    private = f'{host} is a private address: add it to MAIL_OAUTH["PRIVATE_HOSTS"] if it is yours.'
    try:
        return "" if is_public_address(host.replace("%25", "%")) else private
    except ValueError:
        pass
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"{host!r} is no host name."
    if _NUMBER.fullmatch(labels[-1]):  # 127.1, 0x7f.1, 2130706433: system libraries take it for an address
        return f"{host} is an address in disguise: write it in full."
    if len(labels) == 1 or f".{name}".lower().endswith(tuple(f".{domain}" for domain in _INSIDE)):
        return private
    return ""
