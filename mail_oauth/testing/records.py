"""What the fake identity provider remembers, as frozen values.

Tokens and codes are kept as digests only; the one plaintext, a family's newest refresh token, is hidden
from ``repr``.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost", "testserver"})


def digest(secret: str) -> str:
    """The form in which a token or code is kept and looked up: it cannot be spent by whoever reads it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as they are compared."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who can sign in.

    ``subject`` is the immutable identifier: ``sub`` at Google and OIDC, ``oid`` at Microsoft. ``claims`` are
    added to, or replace, the claims of every id_token and userinfo reply.
    """

    email: str
    name: str
    subject: str
    tenant: str
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered application. ``secret`` is ``None`` for a public client.

    ``redirect_uris`` are matched exactly (RFC 9700 section 2.1). ``None`` stands for any http(s) address of
    this machine, which is what a developer's machine and Django's test client need, and the provider's sites.
    """

    client_id: str
    secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] | None = None

    def allows(self, redirect_uri: str, sites: Collection[str] = ()) -> bool:
        """Whether the user may be sent back to ``redirect_uri``; ``sites`` are those of `FakeProvider.add_site`."""
        if self.redirect_uris is not None:
            return redirect_uri in self.redirect_uris
        # The host is compared as parsed: a prefix would also let http://localhost.example.com through.
        parts = urlsplit(redirect_uri)
        here = parts.hostname in LOOPBACK_HOSTS or origin_of(redirect_uri) in sites
        return parts.scheme in {"http", "https"} and here


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """A code, bound to client, redirect URI, PKCE challenge and account. ``family`` is set when redeemed."""

    personality: str
    client_id: str
    subject: str
    redirect_uri: str
    scopes: tuple[str, ...]
    offline: bool
    expires_at: float
    nonce: str | None = field(default=None, repr=False)
    challenge: str | None = field(default=None, repr=False)
    challenge_method: str | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A grant: every token that descends from one consent. ``ended`` says why it is dead, if it is.

    ``used_at`` is when it last gave a token, in seconds since the epoch; ``None`` in state files that do not tell.
    """

    id: str
    personality: str
    client_id: str
    subject: str
    scopes: tuple[str, ...]
    ended: str | None = None
    newest: str | None = field(default=None, repr=False)
    used_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token's place in its family. ``spent_at`` is set when rotation replaced it."""

    family: str
    spent_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token: what it opens and until when (seconds since the epoch)."""

    family: str
    scopes: tuple[str, ...]
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessInfo:
    """What a resource server, such as a fake IMAP server, may know about a valid access token.

    Of an app's own token, ``app_mailboxes`` are those that it opens, all of them when ``None``.
    """

    email: str
    subject: str
    personality: str
    client_id: str
    scopes: tuple[str, ...]
    expires_at: float
    is_app: bool = False
    app_mailboxes: frozenset[str] | None = None

    def opens(self, mailbox: str) -> bool:
        """Whether it opens a mailbox."""
        if self.is_app:
            return self.app_mailboxes is None or mailbox.lower() in self.app_mailboxes
        return self.email.lower() == mailbox.lower()
