"""Each provider, enrolled in the contract by what its own documentation says of it."""

from __future__ import annotations

import pytest

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import provider_for
from tests.providers.contract import NONCE, ProviderContract

SECRETLESS = {"CLIENT_ID": "the-client"}
OUTLOOK = "https://outlook.office.com"

GUID = "11111111-1111-4111-8111-111111111111"


class TestMicrosoft(ProviderContract):
    named = "microsoft"
    authorize = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize"
    token = "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    sends = {"response_mode": "query", "prompt": "select_account", "nonce": NONCE}
    mail_scopes = {f"{OUTLOOK}/IMAP.AccessAsUser.All", f"{OUTLOOK}/SMTP.Send"}
    refresh_scope = "as requested"
    servers = ("outlook.office365.com:993", "outlook.office365.com:995", "smtp.office365.com:587/starttls")
    issuers = {
        None: True,
        "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0": True,
        "https://evil.example": False,
        "https://login.microsoftonline.com.evil.example/x/v2.0": False,
        "": False,
    }

    @pytest.mark.parametrize(
        "tenant",
        [
            "common",
            "organizations",
            "consumers",
            "9188040d-6c67-4c5b-b112-36a304b66dad",
            "contoso.onmicrosoft.com",
        ],
    )
    def test_a_tenant_stands_in_every_url(self, settings, tenant):
        work = self.with_options(settings, TENANT=tenant)
        assert work.token_endpoint().url == f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
        assert f"/{tenant}/" in work.setting("JWKS_URL")

    @pytest.mark.parametrize(
        "tenant", ["", "../common", "evil.example/x", "common/", "a b", "commons", "x?y=.com", "https://x.example"]
    )
    def test_what_is_no_tenant_is_refused(self, settings, tenant):
        with pytest.raises(ConfigurationError, match="neither a keyword, a GUID nor a domain"):
            self.with_options(settings, TENANT=tenant)

    @pytest.mark.parametrize(
        ("cloud", "host", "resource", "imap"),
        [
            ("global", "login.microsoftonline.com", "outlook.office.com", "outlook.office365.com"),
            ("usgov", "login.microsoftonline.us", "outlook.office365.us", "outlook.office365.us"),
            ("china", "login.partner.microsoftonline.cn", "partner.outlook.cn", "partner.outlook.cn"),
        ],
    )
    def test_a_national_cloud(self, settings, cloud, host, resource, imap):
        work = self.with_options(settings, CLOUD=cloud)
        assert work.setting("AUTHORIZE_URL").startswith(f"https://{host}/common/")
        assert f"https://{resource}/IMAP.AccessAsUser.All" in work.requested_scopes
        assert work.setting("IMAP").host == imap
        assert work.accepts_issuer({"iss": f"https://{host}/{GUID}/v2.0", "tid": GUID})

    def test_an_unknown_cloud_is_refused(self, settings):
        with pytest.raises(ConfigurationError, match="global, usgov, china"):
            self.with_options(settings, CLOUD="mars")

    @pytest.mark.parametrize(
        ("tenant", "tid", "iss_tid", "accepted"),
        [
            ("common", GUID, GUID, True),
            ("common", GUID, GUID.replace("1", "2"), False),
            ("common", "", "", False),
            ("9188040d-6c67-4c5b-b112-36a304b66dad", "9188040d-6c67-4c5b-b112-36a304b66dad", None, True),
            ("9188040D-6C67-4C5B-B112-36A304B66DAD", "9188040d-6c67-4c5b-b112-36a304b66dad", None, True),
            ("9188040d-6c67-4c5b-b112-36a304b66dad", "other", None, False),
            ("consumers", "9188040d-6c67-4c5b-b112-36a304b66dad", None, True),
            ("consumers", "other", None, False),
        ],
    )
    def test_the_issuer_of_an_id_token_is_the_tenants(self, settings, tenant, tid, iss_tid, accepted):
        work = self.with_options(settings, TENANT=tenant)
        claims = {"iss": f"https://login.microsoftonline.com/{tid if iss_tid is None else iss_tid}/v2.0"}
        assert work.accepts_issuer({**claims, "tid": tid}) is accepted

    def test_an_account_is_its_tenant_and_object(self, work):
        claims = {"iss": "i", "tid": "t", "oid": "o", "sub": "s", "preferred_username": "ada@corp.example"}
        identity = work.identity_from(claims)
        assert (identity.subject, identity.tenant, identity.email) == ("t/o", "t", "ada@corp.example")
        assert not identity.email_verified

    def test_a_phone_number_is_no_address(self, work):
        claims = {"iss": "i", "tid": "t", "sub": "s", "preferred_username": "+491701234567"}
        assert work.identity_from(claims).email == ""
        assert work.identity_from(claims).sign_in_address == "+491701234567"


class TestGoogle(ProviderContract):
    named = "google"
    authorize = "https://accounts.google.com/o/oauth2/v2/auth"
    token = "https://oauth2.googleapis.com/token"
    revoke = "https://oauth2.googleapis.com/revoke"
    sends = {"access_type": "offline", "prompt": "consent", "nonce": NONCE}
    mail_scopes = {"https://mail.google.com/"}
    servers = ("imap.gmail.com:993", "pop.gmail.com:995", "smtp.gmail.com:465")
    issuers = {None: True, "https://accounts.google.com": True, "https://accounts.google.com/": False}

    def test_its_rewritten_scopes_are_no_loss(self, work):
        granted = ("https://mail.google.com/", "https://www.googleapis.com/auth/userinfo.email", "openid")
        assert work.missing_scopes(granted, work.requested_scopes) == ()

    @pytest.mark.parametrize(
        ("iss", "accepted"),
        [
            ("https://accounts.google.com", True),
            ("accounts.google.com", True),
            ("http://accounts.google.com", False),
            ("google.com", False),
            (None, False),
        ],
    )
    def test_its_issuer_is_one_however_it_is_written(self, work, iss, accepted):
        assert work.accepts_issuer({"iss": iss}) is accepted
        assert work.identity_from({"iss": iss, "sub": "1"}).issuer == "https://accounts.google.com"

    def test_revoking_is_known_to_end_the_whole_account(self, work):
        assert work.revokes_whole_account


class TestYahoo(ProviderContract):
    named = "yahoo"
    authorize = "https://api.login.yahoo.com/oauth2/request_auth"
    token = "https://api.login.yahoo.com/oauth2/get_token"
    revoke = "https://api.login.yahoo.com/oauth2/revoke"
    sends = {"nonce": NONCE}
    pkce = False
    client_auth = "basic"
    mail_scopes = {"mail-w"}
    servers = ("imap.mail.yahoo.com:993", "pop.mail.yahoo.com:995", "smtp.mail.yahoo.com:465")


class TestAol(TestYahoo):
    named = "aol"
    authorize = "https://api.login.aol.com/oauth2/request_auth"
    token = "https://api.login.aol.com/oauth2/get_token"
    revoke = "https://api.login.aol.com/oauth2/revoke"
    servers = ("imap.aol.com:993", "pop.aol.com:995", "smtp.aol.com:465")

    def test_no_url_is_yahoos(self, work):
        names = ("AUTHORIZE_URL", "TOKEN_URL", "REVOKE_URL", "USERINFO_URL", "JWKS_URL", "ISSUER", "ACCOUNT_URL")
        assert not [name for name in names if "yahoo" in work.setting(name)]


class TestFastmail(ProviderContract):
    named = "fastmail"
    options = SECRETLESS
    needed = ("CLIENT_ID",)
    authorize = "https://api.fastmail.com/oauth/authorize"
    token = "https://api.fastmail.com/oauth/refresh"
    revoke = "https://api.fastmail.com/oauth/revoke"
    client_auth = "none"
    mail_scopes = {"https://www.fastmail.com/dev/protocol-imap", "https://www.fastmail.com/dev/protocol-smtp"}
    servers = ("imap.fastmail.com:993", "pop.fastmail.com:995", "smtp.fastmail.com:465")

    issuers = {None: True}

    def test_it_names_nobody(self, work):
        assert not work.names_account


class TestOAuth2(ProviderContract):
    named = "oauth2"
    options = {
        "CLIENT_ID": "the-client",
        "CLIENT_SECRET": "the-secret",
        "AUTHORIZE_URL": "https://login.corp.example/authorize",
        "TOKEN_URL": "https://login.corp.example/token",
        "SCOPES": "imap, smtp",
    }
    needed = ("CLIENT_ID", "AUTHORIZE_URL", "TOKEN_URL", "SCOPES")
    authorize = "https://login.corp.example/authorize"
    token = "https://login.corp.example/token"
    mail_scopes = {"imap", "smtp"}
    issuers = {None: True, "https://anything.example": True}

    def test_a_configured_issuer_is_compared(self, settings):
        from mail_oauth.exceptions import ConnectRefused

        work = self.with_options(settings, ISSUER="https://login.corp.example")
        work.check_callback_issuer("https://login.corp.example")
        with pytest.raises(ConnectRefused):
            work.check_callback_issuer("https://anything.example")


class TestOpenIDConnect(ProviderContract):
    """Its endpoints are options here; test_flows discovers them."""

    named = "oidc"
    options = {
        "CLIENT_ID": "the-client",
        "CLIENT_SECRET": "the-secret",
        "ISSUER": "https://login.corp.example/realms/mail",
        "AUTHORIZE_URL": "https://login.corp.example/authorize",
        "TOKEN_URL": "https://login.corp.example/token",
        "REVOKE_URL": "https://login.corp.example/revoke",
        "SCOPES": ["openid", "email", "offline_access", "mail"],
    }
    needed = ("CLIENT_ID", "ISSUER")
    authorize = "https://login.corp.example/authorize"
    token = "https://login.corp.example/token"
    revoke = "https://login.corp.example/revoke"
    sends = {"prompt": "consent", "nonce": NONCE}
    mail_scopes = {"mail"}
    issuers = {"https://login.corp.example/realms/mail": True, "https://login.corp.example/realms/mail/": False}


class TestTheRegistry:
    def test_an_alias_of_a_built_in_name_needs_no_class(self, settings):
        settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_ID": "x", "CLIENT_SECRET": "y"}}}
        assert provider_for("google").name == "Google"

    def test_a_misspelt_alias_is_guessed(self, settings):
        settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_ID": "x", "CLIENT_SECRET": "y"}}}
        with pytest.raises(ConfigurationError, match="Did you mean 'google'"):
            provider_for("gogle")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({}, 'needs "CLASS": one of microsoft, google'),
            ({"CLASS": "no.such.module.Provider"}, "is neither"),
            ({"CLASS": "datetime.datetime"}, "is no mail_oauth Provider"),
            ({"CLASS": "os.path"}, "is no mail_oauth Provider"),
            ({"CLASS": 5}, "is neither"),
            (None, "must be a dict"),
            ("a string", "must be a dict"),
        ],
        ids=repr,
    )
    def test_what_names_no_provider_is_refused(self, settings, options, said):
        settings.MAIL_OAUTH = {"PROVIDERS": {"work": options}}
        with pytest.raises(ConfigurationError, match=said):
            provider_for("work")

    def test_a_class_of_ones_own_is_named_by_its_path(self, settings):
        settings.MAIL_OAUTH = {
            "PROVIDERS": {"zoho": {"CLASS": "tests.providers.own.Own", "CLIENT_ID": "x", "NAME": "Zoho"}}
        }
        assert provider_for("zoho").name == "Zoho"

    def test_changed_settings_are_seen(self, settings):
        for client in ("one", "two"):
            settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_ID": client, "CLIENT_SECRET": "y"}}}
            assert provider_for("google").token_endpoint().client_id == client
