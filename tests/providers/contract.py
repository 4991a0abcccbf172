"""What every provider must do. A provider enrols with a subclass that says what it should be."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from mail_oauth.exceptions import ConfigurationError, ConnectRefused
from mail_oauth.providers import Provider, all_providers, provider_for
from mail_oauth.tokens import MailServer, Secret
from tests.wire import Recorded

CALLBACK = "https://mail.example/mail/callback/work/"
STATE, NONCE, VERIFIER = "the-state", "the-nonce", "v" * 64


class ProviderContract:
    """Data of the provider under test; `named` is the value of `CLASS`."""

    named: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {"CLIENT_ID": "the-client", "CLIENT_SECRET": "the-secret"}
    needed: ClassVar[tuple[str, ...]] = ("CLIENT_ID", "CLIENT_SECRET")
    authorize: ClassVar[str]
    token: ClassVar[str]
    revoke: ClassVar[str] = ""
    sends: ClassVar[dict[str, str]] = {}
    """Parameters of the authorization request beyond those that all send."""
    pkce: ClassVar[bool] = True
    client_auth: ClassVar[str] = "post"
    mail_scopes: ClassVar[set[str]]
    refresh_scope: ClassVar[str] = ""
    servers: ClassVar[tuple[str, str, str] | None] = None
    """IMAP, POP and SMTP as ``host:port``, with ``/starttls`` where it is."""
    issuers: ClassVar[dict[str | None, bool]] = {None: True, "https://evil.example": False}
    """Values of `iss` in the callback, and whether they are accepted."""

    @pytest.fixture(autouse=True)
    def _configured(self, settings: Any) -> None:
        settings.MAIL_OAUTH = {"PROVIDERS": {"work": {**self.options, "CLASS": self.named}}}

    @pytest.fixture
    def work(self) -> Provider:
        return provider_for("work")

    def with_options(self, settings: Any, **options: Any) -> Provider:
        """The provider with further options."""
        settings.MAIL_OAUTH = {"PROVIDERS": {"work": {**self.options, "CLASS": self.named, **options}}}
        return provider_for("work")

    def parameters(self, work: Provider, **how: str) -> dict[str, str]:
        """The parameters of the authorization URL; none is there twice."""
        url = work.authorization_url(
            redirect_uri=CALLBACK, state=STATE, nonce=NONCE, code_verifier=VERIFIER, **how
        )
        assert url.split("?")[0] == self.authorize
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    # --- settings ---

    def test_each_missing_option_is_named_with_the_line_to_add(self, settings):
        for name in self.needed:
            options = {key: value for key, value in self.options.items() if key != name}
            settings.MAIL_OAUTH = {"PROVIDERS": {"work": {**options, "CLASS": self.named}}}
            with pytest.raises(ConfigurationError, match=rf'\["work"\] needs {name}: add "{name}"'):
                provider_for("work")

    def test_an_unknown_option_is_named(self, settings):
        with pytest.raises(ConfigurationError, match="has no option 'CLIENTID'"):
            self.with_options(settings, CLIENTID="x")

    def test_an_unknown_way_to_authenticate_is_refused(self, settings):
        with pytest.raises(ConfigurationError, match="post, basic, none"):
            self.with_options(settings, CLIENT_AUTH="private_key_jwt")

    def test_its_endpoints_may_be_called(self, work):
        assert work.endpoint_problems() == []

    def test_an_endpoint_that_is_private_or_plain_is_reported(self, settings):
        work = self.with_options(settings, TOKEN_URL="https://10.0.0.1/t", JWKS_URL="http://keys.example/")
        assert len(work.endpoint_problems()) == 2

    def test_two_apps_and_two_tenants_of_one_class_coexist(self, settings):
        providers = {
            alias: {**self.options, "CLASS": self.named, "CLIENT_ID": f"client of {alias}", "NAME": alias.title()}
            for alias in ("sales", "support")
        }
        settings.MAIL_OAUTH = {"PROVIDERS": providers}
        sales, support = all_providers()
        assert (sales.name, support.name) == ("Sales", "Support")
        assert sales.token_endpoint().client_id == "client of sales"
        assert support.token_endpoint().client_id == "client of support"
        assert provider_for("sales") is sales

    def test_its_repr_and_endpoint_hide_the_secret(self, work):
        assert "the-secret" not in f"{work!r} {work.token_endpoint()!r}"

    # --- authorization ---

    def test_the_authorization_request(self, work):
        found = self.parameters(work)
        common = {
            "response_type": "code",
            "client_id": "the-client",
            "redirect_uri": CALLBACK,
            "state": STATE,
            "scope": " ".join(work.requested_scopes),
        }
        proof = {"code_challenge_method": "S256", "code_challenge": found.get("code_challenge", "")}
        assert found == {**common, **self.sends, **(proof if self.pkce else {})}
        assert VERIFIER not in found.values()

    def test_the_challenge_is_the_verifiers_digest(self, work):
        import base64
        import hashlib

        if self.pkce:
            digest = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
            assert self.parameters(work)["code_challenge"] == digest

    def test_a_nonce_goes_with_openid(self, work):
        assert ("nonce" in self.parameters(work)) is ("openid" in work.requested_scopes)

    def test_a_login_hint_is_passed_on_and_excludes_choosing(self, work):
        found = self.parameters(work, login_hint="ada+tag@example.com")
        assert found["login_hint"] == "ada+tag@example.com"
        assert found.get("prompt") != "select_account"

    def test_the_use_of_pkce_is_a_setting(self, settings):
        work = self.with_options(settings, USES_PKCE=not self.pkce)
        assert ("code_challenge" in self.parameters(work)) is not self.pkce

    def test_parameters_and_scopes_are_settings(self, settings):
        work = self.with_options(settings, AUTHORIZE_PARAMETERS={"acr_values": "high"}, SCOPES=["a", "b", "a"])
        found = self.parameters(work)
        assert (found["acr_values"], found["scope"]) == ("high", "a b")
        assert "prompt" not in found

    # --- tokens ---

    def test_the_endpoints(self, work):
        assert work.setting("TOKEN_URL") == work.token_endpoint().url == self.token
        assert work.revocation_url() == self.revoke

    @pytest.mark.parametrize("grant", ["redeem", "refresh"])
    def test_a_token_request(self, settings, wire: Recorded, grant):
        settings.MAIL_OAUTH = {
            "PRIVATE_HOSTS": ["127.0.0.1"],
            "PROVIDERS": {"work": {**self.options, "CLASS": self.named, "TOKEN_URL": wire.url}},
        }
        work = provider_for("work")
        endpoint = work.token_endpoint()
        if grant == "redeem":
            endpoint.redeem(Secret("the-code"), redirect_uri=CALLBACK, code_verifier=Secret(VERIFIER))
            expected = {"grant_type": "authorization_code", "code": "the-code", "redirect_uri": CALLBACK}
            expected["code_verifier"] = VERIFIER
        else:
            endpoint.refresh(Secret("the-refresh-token"), scope=work.refresh_scope("a b"))
            expected = {"grant_type": "refresh_token", "refresh_token": "the-refresh-token"}
            if self.refresh_scope:
                expected["scope"] = "a b"
        if self.client_auth != "basic":
            expected["client_id"] = "the-client"
        if self.client_auth == "post":
            expected["client_secret"] = "the-secret"
        [request] = wire.requests
        assert dict(parse_qsl(request.body)) == expected
        basic = request.headers.get("authorization", "").startswith("Basic ")
        assert basic is (self.client_auth == "basic")
        assert request.query == ""

    def test_the_scope_of_a_refresh(self, work):
        assert bool(work.refresh_scope("a b")) is bool(self.refresh_scope)

    # --- what was granted ---

    def test_its_mail_scopes(self, work):
        openid = {"openid", "profile", "email", "offline_access"}
        assert {scope for scope in work.requested_scopes if scope not in openid} == self.mail_scopes

    def test_granted_scopes_are_compared_as_a_set_of_mail_scopes(self, work):
        requested = work.requested_scopes
        mail = tuple(sorted(self.mail_scopes))
        assert work.missing_scopes(None, requested) == ()
        assert work.missing_scopes(tuple(reversed(requested)), requested) == ()
        assert work.missing_scopes((*mail, "extra"), requested) == ()
        assert set(work.missing_scopes((), requested)) == self.mail_scopes
        assert set(work.missing_scopes(mail[1:], requested)) == {mail[0]}
        assert set(work.missing_scopes(tuple(scope.swapcase() for scope in mail), requested)) == self.mail_scopes

    # --- the rest ---

    def test_its_mail_servers(self, work):
        found = tuple(self.shown(work.setting(name)) for name in ("IMAP", "POP", "SMTP"))
        assert found == (self.servers or ("", "", ""))

    def test_a_mail_server_is_a_setting(self, settings):
        own = MailServer(host="imap.corp.example", port=993)
        assert self.with_options(settings, IMAP=own).setting("IMAP") == own

    @staticmethod
    def shown(server: MailServer | None) -> str:
        if server is None:
            return ""
        return f"{server.host}:{server.port}" + ("" if server.security == "tls" else f"/{server.security}")

    def test_the_issuer_of_a_callback(self, work):
        for iss, accepted in self.issuers.items():
            if accepted:
                work.check_callback_issuer(iss)
            else:
                with pytest.raises(ConnectRefused, match="wrong_issuer"):
                    work.check_callback_issuer(iss)

    def test_users_are_told_where_they_withdraw_access(self, work):
        assert (work.setting("ACCOUNT_URL") or "https://").startswith("https://")
