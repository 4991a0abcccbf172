"""The authorization endpoint: shows the consent page, and turns its answer into a redirect."""

from urllib.parse import parse_qsl

from oauthlib.common import add_params_to_uri
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing.consent import chosen_email, consent_page, error_page
from mail_oauth.testing.endpoints import Endpoints
from mail_oauth.testing.identities import new_account
from mail_oauth.testing.messages import Incoming, Reply
from mail_oauth.testing.personalities import OIDC_SCOPES, Route, issuer_of
from mail_oauth.testing.records import Account
from mail_oauth.testing.refusals import AADSTS, Reason
from mail_oauth.testing.rules import Owner
from mail_oauth.testing.store import Store
from mail_oauth.testing.tenants import admits


class Authorization:
    """The authorization endpoint of one personality."""

    def __init__(self, endpoints: Endpoints, store: Store) -> None:
        self._endpoints = endpoints
        self._rules = endpoints.rules
        self._store = store

    def handle(self, route: Route, incoming: Incoming) -> Reply:
        """GET shows the page, POST is its answer."""
        try:
            if incoming.method == "POST":
                return self._decide(route, incoming)
            return self._ask(incoming)
        except errors.FatalClientError as error:
            return error_page(route.personality.title, f"{error.error}: {error.description}")
        except errors.OAuth2Error as error:
            return self._redirect(route, error.in_uri(str(error.redirect_uri)))
        except ValueError:  # oauthlib's word for a query that is not URL-encoded
            return error_page(route.personality.title, "invalid_request: malformed query")

    def _ask(self, incoming: Incoming) -> Reply:
        scopes, details = self._endpoints.validate_authorization_request(incoming.target)
        with self._store.lock:
            accounts = list(self._store.accounts.values())
        return consent_page(
            title=self._rules.personality.title,
            action=incoming.target,
            client_id=details["client_id"],
            scopes=scopes,
            accounts=accounts,
            login_hint=incoming.parameters.get("login_hint", ""),
        )

    def _decide(self, route: Route, incoming: Incoming) -> Reply:
        scopes, details = self._endpoints.validate_authorization_request(incoming.target)
        request = details["request"]
        ticked = {value for name, value in parse_qsl(incoming.body) if name == "scope"}
        granted = [scope for scope in scopes if scope in ticked or scope in OIDC_SCOPES]
        if incoming.form.get("decision") != "allow" or not granted:
            raise errors.AccessDeniedError(description="The user denied the request.", request=request)
        email = chosen_email(incoming.form, incoming.parameters.get("login_hint", ""))
        if "@" not in email:
            return error_page(route.personality.title, "Choose an account or type an address.")
        account = self._sign_in(email)
        if route.tenant is not None and not admits(route.tenant, account.tenant):
            raise errors.AccessDeniedError(description=_foreign_tenant(), request=request)
        owner = Owner(account=account, scopes=tuple(granted))
        headers, _body, _status = self._endpoints.create_authorization_response(
            incoming.target, scopes=granted, credentials={"user": owner}
        )
        return self._redirect(route, headers["Location"])

    def _sign_in(self, email: str) -> Account:
        account = self._store.account_at(email)
        if account is None:
            account = new_account(email)
            self._store.put_account(account)
        return account

    def _redirect(self, route: Route, location: str) -> Reply:
        if route.personality.sends_iss:
            issuer = issuer_of(route.personality, self._rules.base_url(), route.tenant or "common")
            location = add_params_to_uri(location, [("iss", issuer)])
        headers = (("Location", location), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
        return Reply(status=302, headers=headers)


def _foreign_tenant() -> str:
    aadsts = AADSTS[Reason.FOREIGN_TENANT.value]
    return f"AADSTS{aadsts.code}: {aadsts.text}"
