"""Clients that sign instead of showing a secret, and tokens without a user: signatures, audiences, lives and replay.

Microsoft's `certificate-credentials.md` and `v2-oauth2-client-creds-grant-flow.md`; Google's service accounts; RFC 7523.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate
from oauthlib.common import Request
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing.personalities import Personality, find_route, resources_of
from mail_oauth.testing.records import Account, Family
from mail_oauth.testing.refusals import Reason
from mail_oauth.testing.registrations import AppRegistration, Federation
from mail_oauth.testing.rules import Owner, Rules
from mail_oauth.testing.tenants import tenant_id

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LONGEST_LIFE: Final = 660
"""For how many seconds a client's assertion may be good: ten minutes, and one for clocks."""

_THUMBPRINTS: Final = {"PS256": ("x5t#S256", hashlib.sha256), "RS256": ("x5t", hashlib.sha1)}
_REQUIRED: Final[Any] = {
    "require": ["aud", "exp", "iss", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
_GOOGLES_LIFE: Final = 3600
_SAME_RESOURCE: Final = {"https://outlook.office365.com": "https://outlook.office.com"}

Decoded = dict[str, Any]


class AppRules(Rules):
    """The rules about apps."""

    # --- who asks ---

    def authenticate_by_assertion(self, request: Request) -> bool:
        """Accept an assertion that the app's own certificate signed, or a platform's token."""
        client_id, assertion = request.client_id or "", str(getattr(request, "client_assertion", ""))
        client, app = self.store.clients.get(client_id), self.store.apps.get(client_id)
        if client is None or app is None or getattr(request, "client_assertion_type", "") != ASSERTION_TYPE:
            raise errors.InvalidClientError(description=Reason.UNKNOWN_CLIENT.value)
        claims = _unverified(assertion)
        if claims.get("iss") == client_id:
            self._check_signed(app, assertion, self.token_url(request))
        else:
            self._check_federated(app, assertion, claims)
        request.client = client
        return True

    def token_url(self, request: Request) -> str:
        """The URL that a request came to, which an assertion must be for."""
        return self.base_url() + urlsplit(request.uri).path

    def _check_signed(self, app: AppRegistration, assertion: str, audience: str) -> None:
        header = jwt.get_unverified_header(assertion)
        algorithm = str(header.get("alg"))
        name, digest = _THUMBPRINTS.get(algorithm, ("", hashlib.sha256))
        known = {_thumbprint(pem, digest): pem for pem in app.certificates}
        pem = known.get(str(header.get(name, "")))
        if pem is None:
            raise errors.InvalidClientError(description=Reason.UNKNOWN_CERTIFICATE.value)
        key: Any = load_pem_x509_certificate(pem.encode()).public_key()
        claims = _verified(
            lambda: jwt.decode(
                assertion, key, algorithms=[algorithm], audience=audience, issuer=app.client_id, options=_REQUIRED
            )
        )
        if claims["sub"] != app.client_id:
            raise errors.InvalidClientError(description=Reason.ASSERTION_OF_ANOTHER.value)
        now, exp = self.clock(), claims["exp"]
        if not now < exp <= now + LONGEST_LIFE or claims.get("nbf", 0) > now:
            raise errors.InvalidClientError(description=Reason.ASSERTION_TIME.value)
        self._check_first_use(app, claims)

    def _check_first_use(self, app: AppRegistration, claims: Decoded) -> None:
        name = f"{app.client_id} {claims.get('jti')}"
        if not claims.get("jti") or name in self.store.assertions:
            raise errors.InvalidClientError(description=Reason.ASSERTION_REPLAYED.value)
        self.store.assertions.add(name)

    def _check_federated(self, app: AppRegistration, token: str, claims: Decoded) -> None:
        """A platform's token is shown as often as it is good."""
        trusted = [each for each in app.federations if each.issuer == claims.get("iss")]
        if not trusted:
            raise errors.InvalidClientError(description=Reason.FEDERATED_ISSUER.value)
        if not any(self._is_of(each, token) for each in trusted):
            raise errors.InvalidClientError(description=Reason.FEDERATED_SUBJECT.value)

    def _is_of(self, federation: Federation, token: str) -> bool:
        key: Any = serialization.load_pem_public_key(federation.public_key.encode())
        claims = _verified(
            lambda: jwt.decode(token, key, algorithms=["RS256"], audience=federation.audience, options=_REQUIRED)
        )
        return bool(claims["sub"] == federation.subject and claims["exp"] > self.clock())

    # --- what is asked for ---

    def admit_app(self, request: Request) -> dict[str, Any]:
        """Let an app have a token of its own, at one tenant and for one resource; a hook of the client credentials grant."""
        route = find_route(urlsplit(request.uri).path)
        tenant = tenant_id(route.tenant) if route and route.tenant else None
        if tenant is None or (route and route.tenant == "consumers"):
            raise errors.InvalidRequestError(description=Reason.TENANT_NEEDED.value)
        asked = list(request.scopes or ())
        if len(asked) != 1 or not asked[0].endswith("/.default"):
            raise errors.InvalidScopeError(description=Reason.DEFAULT_SCOPE_NEEDED.value)
        resource = asked[0].removesuffix("/.default")
        resource = _SAME_RESOURCE.get(resource, resource)
        app = self.store.apps.get(str(request.client_id), AppRegistration(client_id=str(request.client_id)))
        roles = tuple(role for role in app.roles if resources_of((role,)) == (resource,))
        self._own(request, _principal(app.client_id, tenant), roles)
        return {}

    def admit_service_account(self, request: Request) -> None:
        """Let a service account have a token as a mailbox's user (domain-wide delegation)."""
        assertion = str(getattr(request, "assertion", "") or "")
        claims = _unverified(assertion)
        account = self.store.service_accounts.get(str(claims.get("iss")))
        if account is None:
            raise errors.InvalidGrantError(description=Reason.UNKNOWN_SERVICE_ACCOUNT.value)
        pem = account.keys.get(str(jwt.get_unverified_header(assertion).get("kid")))
        if pem is None:
            raise errors.InvalidGrantError(description=Reason.BAD_SIGNATURE.value)
        key: Any = serialization.load_pem_public_key(pem.encode())
        try:
            jwt.decode(assertion, key, algorithms=["RS256"], audience=self.token_url(request), options=_REQUIRED)
        except jwt.InvalidTokenError:
            raise errors.InvalidGrantError(description=Reason.BAD_SIGNATURE.value) from None
        self._check_life(claims)
        scopes = tuple(str(claims.get("scope", "")).split())
        user = self.store.account_at(str(claims["sub"]))
        if not account.may_ask_for(scopes):
            raise errors.UnauthorizedClientError(description=Reason.NOT_DELEGATED.value)
        if user is None or not account.opens(user.email):
            raise errors.InvalidGrantError(description=Reason.UNKNOWN_MAILBOX.value)
        request.client_id, request.scopes = account.email, list(scopes)
        self._own(request, user, scopes)

    def _check_life(self, claims: Decoded) -> None:
        now, iat, exp = self.clock(), claims.get("iat", 0), claims["exp"]
        if exp - iat > _GOOGLES_LIFE or exp <= now or iat > now:
            raise errors.InvalidGrantError(description=Reason.ASSERTION_TIME.value)

    def _own(self, request: Request, account: Account, scopes: tuple[str, ...]) -> None:
        """Say whose token this will be; there is one grant for each app and account."""
        if account.subject not in self.store.accounts:
            self.store.put_account(account)
        name = f"{self.personality.name} {request.client_id} {account.subject} app"
        family = Family(
            id=hashlib.sha256(name.encode()).hexdigest()[:32],
            personality=self.personality.name,
            client_id=str(request.client_id),
            subject=account.subject,
            scopes=scopes,
        )
        self.store.put_family(family)
        request.scopes = list(scopes)
        request.user = Owner(account=account, scopes=scopes, family=family)


def grants_of(personality: Personality) -> frozenset[str]:
    """The grant types that a personality knows."""
    more = {"microsoft": "client_credentials", "google": JWT_BEARER}.get(personality.name)
    return frozenset({"authorization_code", "refresh_token", *([more] if more else [])})


def _principal(client_id: str, tenant: str) -> Account:
    """An app as Entra sees it in a tenant; its "address" opens no mailbox."""
    subject = hashlib.sha256(f"{client_id} {tenant}".encode()).hexdigest()[:32]
    return Account(
        email=f"{client_id}.{tenant}@apps.invalid", name=client_id, subject=f"app-{subject}", tenant=tenant
    )


def _unverified(assertion: str) -> Decoded:
    try:
        found: Decoded = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise errors.InvalidGrantError(description=Reason.BAD_SIGNATURE.value) from None
    return found


def _verified(decode: Callable[[], Any]) -> Decoded:
    try:
        found: Decoded = decode()
    except jwt.InvalidAudienceError:
        raise errors.InvalidClientError(description=Reason.ASSERTION_AUDIENCE.value) from None
    except jwt.InvalidTokenError:
        raise errors.InvalidClientError(description=Reason.UNKNOWN_CERTIFICATE.value) from None
    return found


def _thumbprint(pem: str, digest: Callable[[bytes], Any]) -> str:
    der = load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    return base64.urlsafe_b64encode(digest(der).digest()).decode().rstrip("=")
