"""Where a host name leads: looked up once, checked, and connected to by number.

A name that is checked and then looked up again may lead elsewhere the second time (DNS rebinding). Here the
addresses that were checked are the ones that are connected to, and nothing private hears as much as a knock.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.transport.addresses import is_private_host_allowed, is_public_address
from mail_oauth.transport.deadlines import seconds_left

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


class PublicPeer(HTTPConnection):
    """A connection to the addresses that were checked; private ones only of hosts that the operator listed.

    Through a proxy it leads to the proxy, which looks the name up itself: what lies behind it is the proxy's to
    allow.
    """

    def _new_conn(self) -> socket.socket:
        if self.proxy is not None or is_private_host_allowed(self.host):
            return self._connect()
        name = self._dns_host
        try:
            addresses = public_addresses(name, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        try:
            return self._first_that_answers(addresses)
        finally:
            self._dns_host = name  # by which its certificate is checked

    def _first_that_answers(self, addresses: list[str]) -> socket.socket:
        for address in addresses[:-1]:
            self._dns_host = address
            with suppress(ConnectTimeoutError, NewConnectionError):
                return self._connect()
        self._dns_host = addresses[-1]
        return self._connect()

    def _connect(self) -> socket.socket:
        """Connect within `CONNECT_TIMEOUT`, and within what remains of the call."""
        allowed = self.timeout
        try:
            if isinstance(allowed, (int, float)):
                self.timeout = min(allowed, seconds_left())
            return super()._new_conn()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        finally:
            self.timeout = allowed
