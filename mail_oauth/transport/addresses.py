"""Which addresses this app may call: https, public, named without credentials (SSRF, RFC 9700 §4.11)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from oauthlib.oauth2 import is_secure_transport

from mail_oauth.conf import app_settings

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 §2.1
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215, which Python 3.11 does not know yet


def is_private_host_allowed(host: str) -> bool:
    """Tell whether the operator listed `host` in `PRIVATE_HOSTS`."""
    return host.lower() in {listed.lower() for listed in app_settings().private_hosts}


def is_public_address(address: str) -> bool:
    """Tell whether an IP address is reachable by everyone: not private, loopback, link-local or multicast."""
    parsed = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed in _NAT64_LOCAL:
            return False
        parsed = _carried(parsed) or parsed
    return parsed.is_global and not parsed.is_multicast


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
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return f"{url!r} is not a URL."
    if not host or parts.scheme not in {"https", "http"}:
        return f"{url!r} is not an https URL."
    if parts.username is not None or parts.fragment:
        return f"The URL of {host} must hold neither credentials nor a fragment."
    listed = is_private_host_allowed(host)
    if parts.scheme == "http" and not (listed and is_secure_transport(url)):
        return f"{host} must be reached by https."
    try:
        if not listed and not is_public_address(host):
            return f'{host} is a private address: add it to MAIL_OAUTH["PRIVATE_HOSTS"] if it is yours.'
    except ValueError:
        pass  # a name, not an address: checked when the connection is made
    return ""
