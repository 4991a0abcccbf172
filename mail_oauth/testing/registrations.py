"""What apps are registered with: secrets, sites, and for tokens without a user certificates, platforms, service accounts."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mail_oauth.testing.recorder import Recorder
from mail_oauth.testing.records import Client, origin_of
from mail_oauth.testing.store import Store

_OUTLOOK: Final = "https://outlook.office.com"
ROLES: Final = (f"{_OUTLOOK}/IMAP.AccessAsApp", f"{_OUTLOOK}/POP.AccessAsApp", f"{_OUTLOOK}/SMTP.SendAsApp")
"""The application permissions that a new app has at Exchange."""
GRAPH_ROLES: Final = ("https://graph.microsoft.com/Mail.Send",)
SPARE: Final = "spare@project.iam.gserviceaccount.example"
"""The service account of sites that test without one of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """A platform whose tokens are taken for an app's (Entra's federated identity credentials)."""

    issuer: str
    subject: str
    public_key: str
    audience: str = "api://AzureADTokenExchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRegistration:
    """What Entra knows of an app besides its secret. ``mailboxes`` are those it is let into, all when ``None``."""

    client_id: str
    certificates: tuple[str, ...] = ()
    federations: tuple[Federation, ...] = ()
    mailboxes: frozenset[str] | None = None
    roles: tuple[str, ...] = ROLES + GRAPH_ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """Google's: its public keys by their ids, and which domain lets it in, under which scopes; any of them when ``None``."""

    email: str
    domain: str | None
    scopes: tuple[str, ...] | None
    keys: dict[str, str] = field(default_factory=dict)

    def opens(self, address: str) -> bool:
        """Whether the domain of a mailbox lets it in."""
        return self.domain in {None, address.rpartition("@")[2].lower()}

    def may_ask_for(self, scopes: Collection[str]) -> bool:
        """Whether it is let in under all of these scopes, and there are any."""
        return bool(scopes) and (self.scopes is None or set(scopes) <= set(self.scopes))


class Registering:
    """The part of `FakeProvider` by which a test registers them."""

    client_id: str
    _store: Store
    _recorder: Recorder

    def add_client(
        self, client_id: str, client_secret: str | None, redirect_uris: Collection[str] | None = None
    ) -> Client:
        """Register a client, or replace it; see `Client` for the meaning of ``None``."""
        uris = None if redirect_uris is None else tuple(redirect_uris)
        client = Client(client_id=client_id, secret=client_secret, redirect_uris=uris)
        self._store.put_client(client)
        self._recorder.keep([("client_secret", client_secret)])
        return client

    def add_site(self, base_url: str) -> None:
        """Send users back to a site as well, named by scheme and host, from clients that have no ``redirect_uris``."""
        self._store.sites.add(origin_of(base_url))

    def register_app(
        self,
        *,
        client_id: str | None = None,
        certificates: Collection[str] = (),
        federations: Collection[Federation] = (),
        mailboxes: Collection[str] | None = None,
        roles: Collection[str] = ROLES + GRAPH_ROLES,
    ) -> AppRegistration:
        """Register the app anew, in the place of what it was: PEM certificates, platforms, permissions."""
        permitted = None if mailboxes is None else frozenset(each.lower() for each in mailboxes)
        app = AppRegistration(
            client_id=client_id or self.client_id,
            certificates=tuple(certificates),
            federations=tuple(federations),
            mailboxes=permitted,
            roles=tuple(roles),
        )
        self._store.apps[app.client_id] = app
        return app

    def forget_apps(self) -> None:
        """Forget every app and service account: an app has its secret alone."""
        self._store.apps.clear()
        self._store.service_accounts.clear()

    def add_service_account(
        self,
        email: str = "robot@project.iam.gserviceaccount.example",
        *,
        domain: str = "example.com",
        scopes: Collection[str] = ("https://mail.google.com/",),
        keep_keys: bool = False,
    ) -> dict[str, Any]:
        """Let a service account into a domain; what Google's JSON file says of its new key.

        Its former keys are deleted, unless ``keep_keys``.
        """
        private = _new_key()
        before = self._store.service_accounts.get(email)
        kid = f"key{len(before.keys) + 1 if before else 1}-{private.public_key().public_numbers().n % 10**12}"
        keys = {**(before.keys if before and keep_keys else {}), kid: _public_pem(private.public_key())}
        account = ServiceAccount(email=email, domain=domain, scopes=tuple(scopes), keys=keys)
        self._store.service_accounts[email] = account
        return _json_file(email, kid, private)

    def spare_service_account(self) -> dict[str, Any]:
        """Let a service account into every domain, under every scope; what Google's JSON file would say of its key.

        For a site's tests, which need no key of their own then: this one is the same for as long as the process lives.
        """
        private, kid = _spare_key(), "spare"
        keys = {kid: _public_pem(private.public_key())}
        self._store.service_accounts[SPARE] = ServiceAccount(email=SPARE, domain=None, scopes=None, keys=keys)
        file = _json_file(SPARE, kid, private)
        self._recorder.keep(("private_key", line) for line in file["private_key"].splitlines()[1:-1])
        return file


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@lru_cache(maxsize=1)
def _spare_key() -> rsa.RSAPrivateKey:
    """One for all tests of a process: to make a key takes some 60 ms."""
    return _new_key()


def _json_file(email: str, kid: str, private: rsa.RSAPrivateKey) -> dict[str, Any]:
    return {
        "type": "service_account",
        "client_email": email,
        "private_key_id": kid,
        "private_key": _private_pem(private),
    }


def _public_pem(key: rsa.RSAPublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
