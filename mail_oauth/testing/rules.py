"""What all of the provider's rules share: the store and the settings they look at, and whose request it is."""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.openid.connect.core.request_validator import RequestValidator

from mail_oauth.testing.keys import KeySet
from mail_oauth.testing.personalities import Personality
from mail_oauth.testing.policy import Policy
from mail_oauth.testing.records import Account, Family
from mail_oauth.testing.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whom oauthlib's ``request.user`` stands for: the account, and the grant that is being spent."""

    account: Account
    scopes: tuple[str, ...]
    offline: bool = False
    family: Family | None = None
    nonce: str | None = field(default=None, repr=False)


def owner_of(request: Request) -> Owner:
    """The owner that a rule has set on ``request``."""
    owner = request.user
    if not isinstance(owner, Owner):
        raise errors.ServerError(description="no resource owner was set on the request")
    return owner


def basic_credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Client id and secret from an HTTP Basic header, decoded as RFC 6749 section 2.3.1 asks."""
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote_plus(client_id), unquote_plus(secret)


class Rules(RequestValidator):
    """The base of the rules. Each of their methods is oauthlib's; its documentation says when it is called."""

    def __init__(
        self,
        personality: Personality,
        *,
        store: Store,
        keys: KeySet,
        policy: Callable[[], Policy],
        base_url: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.personality = personality
        self.store = store
        self.keys = keys
        self.policy = policy
        self.base_url = base_url
        self.clock = clock
