"""What development needs and production must not, or had better not, have.

DEBUG, cookies without `Secure` and plain http are Django's own to find (security.W018, W012, W016, W008).
"""

from __future__ import annotations

import ipaddress
import os

from django.conf import settings

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings


def insecure_transport() -> Found:
    """Find oauthlib's switch for plain http."""
    if os.environ.get("OAUTHLIB_INSECURE_TRANSPORT"):
        yield found(
            "E008",
            "OAUTHLIB_INSECURE_TRANSPORT is set: tokens may travel in clear.",
            "Remove it from the environment.",
        )


def testing() -> Found:
    """Find the provider of tests and demos."""
    if "mail_oauth.testing" in settings.INSTALLED_APPS:
        yield found(
            "E046",
            "mail_oauth.testing is for tests and demos: it signs in whoever asks.",
            "Take it out of INSTALLED_APPS.",
        )


def revealing() -> Found:
    """Find a site whose staff may see tokens in clear."""
    if app_settings().reveal_tokens:
        yield found(
            "W029",
            'MAIL_OAUTH["REVEAL_TOKENS"] is on: staff with the permission to can see tokens in clear, and take them along.',
        )


def private_hosts() -> Found:
    """Find hosts that no provider in production has: an on-premises one is listed by a name or address of its own."""
    for host in app_settings().private_hosts:
        if _is_this_machine(host):
            yield found(
                "W018",
                f'MAIL_OAUTH["PRIVATE_HOSTS"] lists {host!r}: calls to this very machine, or to a metadata service that '
                "hands out credentials, are let through.",
                f'Take {host!r} out of MAIL_OAUTH["PRIVATE_HOSTS"].',
            )


def _is_this_machine(host: str) -> bool:
    name = host.lower().rstrip(".").strip("[]")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified
