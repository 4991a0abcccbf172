"""What each personality is made of, as tables."""

import pytest

from mail_oauth.testing import personalities, tenants
from mail_oauth.testing.claims import identity_claims
from mail_oauth.testing.consent import chosen_email
from mail_oauth.testing.identities import new_account
from mail_oauth.testing.personalities import GOOGLE, MICROSOFT, OIDC, PERSONALITIES, PLAIN
from mail_oauth.testing.policy import Policy, refuses_code
from mail_oauth.testing.records import AuthorizationCode, Client, Family, RefreshToken
from mail_oauth.testing.refusals import AADSTS, GOOGLES_ALONE, Reason, error_body

ALL_SCOPES = ("openid", "profile", "email")
GUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/microsoft/common/oauth2/v2.0/token", ("microsoft", "token", "common")),
        (f"/microsoft/{GUID}/v2.0/.well-known/openid-configuration", ("microsoft", "discovery", GUID)),
        ("/microsoft/contoso.example/discovery/v2.0/keys", ("microsoft", "jwks", "contoso.example")),
        ("/microsoft/graph/oidc/userinfo", ("microsoft", "userinfo", None)),
        ("/google/o/oauth2/v2/auth", ("google", "authorize", None)),
        ("/oidc/revoke", ("oidc", "revoke", None)),
        ("/plain/token", ("plain", "token", None)),
        ("/microsoft/a/b/oauth2/v2.0/token", None),
        ("/microsoft/common/oauth2/v2.0/revoke", None),
        ("/plain/userinfo", None),
        ("/oidc/token/", None),
        ("/", None),
    ],
)
def test_a_path_names_a_route(path, expected):
    route = personalities.find_route(path)
    assert (route and (route.personality.name, route.endpoint, route.tenant)) == expected


@pytest.mark.parametrize("personality", PERSONALITIES.values(), ids=lambda each: each.name)
def test_every_url_leads_back_to_its_endpoint(personality):
    urls = personalities.urls_of(personality, "")
    for endpoint in urls.keys() - {"issuer"}:
        assert personalities.find_route(urls[endpoint]).endpoint == endpoint
    assert ("issuer" in urls) is personality.is_oidc


@pytest.mark.parametrize(
    ("tenant", "issuer"),
    [
        ("common", "/microsoft/{tenantid}/v2.0"),
        ("organizations", "/microsoft/{tenantid}/v2.0"),
        ("consumers", f"/microsoft/{tenants.CONSUMERS}/v2.0"),
        (GUID, f"/microsoft/{GUID}/v2.0"),
        ("contoso.example", f"/microsoft/{tenants.tenant_of('contoso.example')}/v2.0"),
    ],
)
def test_microsofts_issuer_follows_the_tenant(tenant, issuer):
    assert personalities.issuer_of(MICROSOFT, "", tenant) == issuer


@pytest.mark.parametrize(
    ("segment", "tenant", "admitted"),
    [
        ("common", GUID, True),
        ("common", tenants.CONSUMERS, True),
        ("organizations", GUID, True),
        ("organizations", tenants.CONSUMERS, False),
        ("consumers", GUID, False),
        ("consumers", tenants.tenant_of("outlook.com"), True),
        (GUID, GUID, True),
        (GUID.replace("1", "2"), GUID, False),
        ("contoso.example", tenants.tenant_of("contoso.example"), True),
    ],
)
def test_a_tenants_address_admits_its_own(segment, tenant, admitted):
    assert tenants.admits(segment, tenant) is admitted


@pytest.mark.parametrize(
    ("personality", "scopes", "written"),
    [
        (
            MICROSOFT,
            ("openid", "offline_access", "https://outlook.office.com/SMTP.Send"),
            "https://outlook.office.com/SMTP.Send",
        ),
        (MICROSOFT, ("openid", "profile", "email"), ""),
        (GOOGLE, ("https://mail.google.com/",), "https://mail.google.com/"),
        (
            GOOGLE,
            ("email", "https://mail.google.com/"),
            "openid https://mail.google.com/ https://www.googleapis.com/auth/userinfo.email",
        ),
        (OIDC, ("openid", "mail"), "openid mail"),
        (PLAIN, ("b", "a"), "b a"),
    ],
)
def test_the_scope_of_a_reply_is_written_as_the_provider_would(personality, scopes, written):
    assert personalities.scope_in_reply(personality, scopes) == written


@pytest.mark.parametrize(
    ("scopes", "first"),
    [
        (("openid", "https://a.example/x", "https://b.example/y"), ("openid", "https://a.example/x")),
        (
            ("User.Read", "https://graph.microsoft.com/Mail.Read"),
            ("User.Read", "https://graph.microsoft.com/Mail.Read"),
        ),
        (("openid",), ("openid",)),
        ((), ()),
    ],
)
def test_a_token_keeps_the_scopes_of_its_first_resource(scopes, first):
    assert personalities.first_resource_only(scopes) == first


@pytest.mark.parametrize(
    ("scopes", "absent"),
    [
        (ALL_SCOPES, set()),
        (("openid", "email"), {"name", "preferred_username"}),
        (("openid", "profile"), {"email", "email_verified"}),
    ],
)
def test_claims_are_there_as_far_as_scopes_allow(scopes, absent):
    account = new_account("ada@example.com")
    every = identity_claims(OIDC, account, "app", ALL_SCOPES)
    assert every.keys() - identity_claims(OIDC, account, "app", scopes).keys() == absent


def test_google_names_no_hosted_domain_for_its_own_mail():
    assert "hd" not in identity_claims(GOOGLE, new_account("ada@gmail.com"), "app", ALL_SCOPES)
    assert identity_claims(GOOGLE, new_account("ada@example.com"), "app", ALL_SCOPES)["hd"] == "example.com"


def test_a_person_is_the_same_after_a_restart():
    assert new_account("Ada@example.com").subject == new_account("ada@example.com").subject
    assert new_account("ada@example.com").subject != new_account("bob@example.com").subject


@pytest.mark.parametrize(
    "reason", sorted(set(Reason) - GOOGLES_ALONE, key=lambda each: each.value), ids=lambda each: each.value
)
def test_every_reason_has_words_at_microsoft(reason):
    body = error_body("microsoft", "invalid_grant", reason.value)
    assert body["error_codes"] == [AADSTS[reason.value].code]
    assert body["error_description"].startswith(f"AADSTS{AADSTS[reason.value].code}: ")


@pytest.mark.parametrize(
    ("personality", "error", "description", "body"),
    [
        (
            "google",
            "invalid_grant",
            "revoked",
            {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
        ),
        ("google", "invalid_grant", "spent_token", {"error": "invalid_grant", "error_description": "Bad Request"}),
        (
            "google",
            "invalid_client",
            "bad_secret",
            {"error": "invalid_client", "error_description": "Unauthorized"},
        ),
        ("oidc", "invalid_scope", "", {"error": "invalid_scope"}),
        ("plain", "invalid_grant", "reused", {"error": "invalid_grant", "error_description": "reused"}),
    ],
)
def test_errors_have_each_providers_shape(personality, error, description, body):
    assert error_body(personality, error, description) == body


def test_missing_consent_at_microsoft_has_a_suberror():
    assert error_body("microsoft", "invalid_grant", "not_consented")["suberror"] == "consent_required"


FAMILY = Family(id="f", personality="oidc", client_id="app", subject="s", scopes=())


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, Reason.UNKNOWN_TOKEN),
        ((RefreshToken(family="f"), FAMILY), None),
        ((RefreshToken(family="f", spent_at=90), FAMILY), Reason.SPENT_TOKEN),
        ((RefreshToken(family="f", spent_at=96), FAMILY), None),
        (
            (
                RefreshToken(family="f"),
                Family(id="f", personality="oidc", client_id="other", subject="s", scopes=()),
            ),
            Reason.FOREIGN_TOKEN,
        ),
        (
            (
                RefreshToken(family="f"),
                Family(id="f", personality="oidc", client_id="app", subject="s", scopes=(), ended="revoked"),
            ),
            Reason.REVOKED,
        ),
    ],
)
def test_a_refresh_token_is_judged(found, reason):
    policy = Policy(reuse_grace_seconds=5)
    assert policy.refuses_refresh(found, personality="oidc", client_id="app", now=100) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"expires_at": 100}, Reason.CODE_EXPIRED),
        ({"family": "f"}, Reason.CODE_REDEEMED),
        ({"client_id": "other"}, Reason.UNKNOWN_CODE),
        ({"personality": "google"}, Reason.UNKNOWN_CODE),
    ],
)
def test_an_authorization_code_is_judged(changes, reason):
    fields = {
        "personality": "oidc",
        "client_id": "app",
        "subject": "s",
        "redirect_uri": "https://app.example/",
        "scopes": (),
        "offline": True,
        "expires_at": 101.0,
    }
    code = AuthorizationCode(**{**fields, **changes})
    assert refuses_code(code, personality="oidc", client_id="app", now=100) is reason


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("http://testserver/callback", True),
        ("http://localhost:8000/callback", True),
        ("https://127.0.0.1/callback", True),
        ("http://[::1]:8000/callback", True),
        ("http://localhost.example.com/callback", False),
        ("http://localhost@example.com/callback", False),
        ("ftp://localhost/", False),
        ("javascript:alert(1)", False),
    ],
)
def test_the_default_client_lives_on_this_machine(uri, allowed):
    assert Client(client_id="app").allows(uri) is allowed


@pytest.mark.parametrize(
    ("form", "hint", "email"),
    [
        ({"account": "ada@example.com", "new_account": ""}, "", "ada@example.com"),
        ({"account": "ada@example.com", "new_account": "bob@example.com"}, "", "bob@example.com"),
        ({"account": "ada@example.com", "new_account": "bob@example.com"}, "bob@example.com", "ada@example.com"),
        ({"new_account": " bob@example.com "}, "bob@example.com", "bob@example.com"),
        ({}, "", ""),
    ],
)
def test_a_typed_address_beats_a_chosen_one_unless_it_was_filled_in(form, hint, email):
    assert chosen_email(form, hint) == email
