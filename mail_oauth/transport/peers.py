"""Where a host name leads: looked up once, checked, and connected to by number.

A name that is checked and then looked up again may lead elsewhere the second time (DNS rebinding). Here the
addresses that were checked are the ones that are connected to, and nothing private hears as much as a knock.
"""

from __future__ import annotations

import socket

from urllib3.util.connection import allowed_gai_family

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.transport.addresses import is_public_address

MOST_ADDRESSES = 4
"""How many addresses of one name are tried: each may cost `CONNECT_TIMEOUT`."""


def public_addresses(host: str, port: int) -> list[str]:
    """Return the public addresses that a name leads to, in the resolver's order.

    Raises `socket.gaierror` where there is none at all, and `ConfigurationError` where each is private.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    public = [address for address in addresses if is_public_address(address)]
    if addresses and not public:
        raise ConfigurationError(
            f'{host} leads to a private address: add it to MAIL_OAUTH["PRIVATE_HOSTS"] if it is yours.'
        )
    return public[:MOST_ADDRESSES]
