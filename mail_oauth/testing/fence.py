"""Keeps this app's calls on this machine while a test runs, whatever has become of its settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

from mail_oauth.transport import peers, sockets
from mail_oauth.transport.pool import Pool

NOBODYS: Final = frozenset({"example", "invalid", "localhost", "test"})
"""Top-level domains that are nobody's (RFC 6761): tests of outages name hosts in them."""

REMEDY: Final = (
    "Change the settings by {**settings.MAIL_OAUTH, …}, read while the test runs, or by `mail_oauth_changes`: "
    "what was read before the test began leads to the true providers."
)


class LeftThisMachine(AssertionError):
    """A test would have called a host that is not this machine; nothing was sent, and no name looked up."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"This test would have called {host} instead of the fake provider. {REMEDY} "
            "Mail is read and sent at mail_oauth.testing.mailservers, or at a server of your own that is published on "
            "127.0.0.1, or has a name under .test that PRIVATE_HOSTS lists."
        )
        self.host = host


def is_here(host: str) -> bool:
    """Whether a host is this machine, or has a name that is nobody's."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").rpartition(".")[2].lower() in NOBODYS


@contextmanager
def fenced() -> Iterator[None]:
    """Have every call of a provider or a mail server raise `LeftThisMachine` that would leave this machine.

    That settings lead to the fake is not enough: a test may put back the site's own, in which its client's true secret
    stands. What goes through a proxy is judged by where it goes in the end.
    """
    with (
        patch.object(Pool, "send", _barred(Pool.send, lambda args: urlsplit(args[2]).hostname or "")),
        patch.object(sockets, "public_addresses", _barred(peers.public_addresses, lambda args: args[0])),
        patch.object(sockets, "_connected", _barred(sockets._connected, lambda args: args[0])),
    ):
        yield


def _barred(call: Callable[..., Any], host_of: Callable[[tuple[Any, ...]], str]) -> Callable[..., Any]:
    """`call`, unless the host that its arguments name is elsewhere."""

    def barred(*args: Any, **kwargs: Any) -> Any:
        host = host_of(args)
        if not is_here(host):
            raise LeftThisMachine(host)
        return call(*args, **kwargs)

    return barred
