"""Somebody connects a mailbox: the consent page, the code, the first tokens."""

import jwt
import pytest

from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.walker import ConsentNotOffered
from tests.testing_kit.client import REDIRECT_URI, Application, query_of

OIDC_PERSONALITIES = ["microsoft", "google", "oidc"]
EVERY_PERSONALITY = [*OIDC_PERSONALITIES, "plain"]
IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
SMTP = "https://outlook.office.com/SMTP.Send"


def verified(provider, http, personality, id_token, **options):
    """The claims of an id_token, checked as OpenID Connect Core section 3.1.3.7 asks."""
    keys = jwt.PyJWKSet.from_dict(http.get(provider.urls(personality)["jwks"]).json())
    key = keys[jwt.get_unverified_header(id_token)["kid"]]
    return jwt.decode(id_token, key, algorithms=["RS256"], audience=provider.client_id, **options)


class TestTheCallback:
    @pytest.mark.parametrize("personality", EVERY_PERSONALITY)
    def test_carries_the_code_and_the_state(self, provider, application, personality):
        request = application.ask(personality)
        callback = provider.authorize(request.url)
        assert callback.startswith(REDIRECT_URI + "?")
        assert query_of(callback)["state"] == request.state
        assert query_of(callback)["code"]

    @pytest.mark.parametrize("personality", EVERY_PERSONALITY)
    def test_names_the_issuer_where_the_provider_advertises_it(self, provider, application, http, personality):
        urls = provider.urls(personality)
        document = http.get(urls["discovery"]).json() if "discovery" in urls else {}
        advertised = document.get("authorization_response_iss_parameter_supported", False)
        seen = query_of(provider.authorize(application.ask(personality).url)).get("iss")
        assert seen == (document["issuer"] if advertised else None)
        assert advertised is (personality in {"google", "oidc"})

    @pytest.mark.parametrize("personality", EVERY_PERSONALITY)
    def test_says_access_denied_and_keeps_the_state_when_the_user_declines(
        self, provider, application, personality
    ):
        request = application.ask(personality)
        answer = query_of(provider.authorize(request.url, deny=True))
        assert (answer["error"], answer["state"]) == ("access_denied", request.state)
        assert "code" not in answer

    def test_says_login_required_to_a_silent_request(self, provider, application):
        request = application.ask("oidc", prompt="none")
        assert query_of(provider.authorize(request.url))["error"] == "login_required"

    def test_refuses_a_hint_together_with_select_account_at_microsoft_only(self, provider, application):
        both = {"prompt": "select_account", "login_hint": "ada@example.com"}
        microsoft = query_of(provider.authorize(application.ask("microsoft", **both).url))
        assert microsoft["error"] == "invalid_request"
        assert "code" in query_of(provider.authorize(application.ask("oidc", **both).url))

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "invalid_request"),
            ({"scope": ""}, "invalid_scope"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
        ],
    )
    def test_carries_the_error_of_a_bad_request(self, provider, application, changes, error):
        assert query_of(provider.authorize(application.ask("oidc", **changes).url))["error"] == error

    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": "nobody"},
            {"redirect_uri": "http://localhost.evil.example/callback"},
            {"redirect_uri": "http://evil.example/?http://testserver/"},
            {"redirect_uri": "javascript:alert(1)"},
            {"redirect_uri": None},
        ],
    )
    def test_is_not_sent_where_it_may_not_go(self, provider, application, changes):
        with pytest.raises(ConsentNotOffered) as caught:
            provider.authorize(application.ask(**changes).url)
        assert caught.value.status == 400

    def test_goes_to_a_registered_address_only_when_it_matches_exactly(self, provider, application):
        provider.add_client("strict", "strict-secret", ["https://app.example/cb"])
        good = application.ask(client_id="strict", redirect_uri="https://app.example/cb")
        assert provider.authorize(good.url).startswith("https://app.example/cb?code=")
        for bad in ("https://app.example/cb/", "https://app.example/cb?x=1", "https://APP.example/cb"):
            with pytest.raises(ConsentNotOffered):
                provider.authorize(application.ask(client_id="strict", redirect_uri=bad).url)

    def test_is_refused_at_another_tenants_address(self, provider, application):
        request = application.ask()
        own = provider.add_account("eve@other.example").tenant
        url = request.url.replace("/common/", f"/{own}/")
        assert "code" in query_of(provider.authorize(url, "eve@other.example"))
        answer = query_of(provider.authorize(url, "ada@example.com"))
        assert answer["error"] == "access_denied"
        assert "AADSTS50020" in answer["error_description"]


class TestTheCode:
    @pytest.fixture
    def request_and_callback(self, provider, application):
        request = application.ask("oidc")
        return request, provider.authorize(request.url)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"code_verifier": "x" * 64}, "invalid_grant"),
            ({"code_verifier": None}, "invalid_request"),
            ({"redirect_uri": REDIRECT_URI + "other"}, "invalid_grant"),
            ({"code": "made-up"}, "invalid_grant"),
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"client_secret": "wrong-secret"}, "invalid_client"),
            ({"client_secret": None}, "invalid_client"),
            ({"client_id": "nobody"}, "invalid_client"),
        ],
    )
    def test_is_refused_when_anything_it_is_bound_to_differs(
        self, application, request_and_callback, changes, error
    ):
        reply = application.redeem(*request_and_callback, "oidc", **changes)
        assert (reply.status_code, reply.json()["error"]) == (401 if error == "invalid_client" else 400, error)
        assert application.redeem(*request_and_callback, "oidc").status_code == 200

    def test_is_refused_for_another_client(self, provider, application, request_and_callback):
        provider.add_client("other", "other-secret")
        other = {"client_id": "other", "client_secret": "other-secret"}
        reply = application.redeem(*request_and_callback, "oidc", **other)
        assert reply.json()["error"] == "invalid_grant"

    def test_is_refused_by_another_personality(self, application, request_and_callback):
        assert application.redeem(*request_and_callback, "google").json()["error"] == "invalid_grant"

    def test_used_twice_kills_what_the_first_use_gave(self, provider, application, request_and_callback):
        first = application.redeem(*request_and_callback, "oidc").json()
        assert application.redeem(*request_and_callback, "oidc").json()["error"] == "invalid_grant"
        assert not provider.is_valid_access_token(first["access_token"])
        assert application.refresh(first["refresh_token"], "oidc").json()["error"] == "invalid_grant"

    def test_expires(self, http):
        now = [1_900_000_000.0]
        with FakeProvider(code_seconds=30, clock=lambda: now[0]) as provider:
            application = Application(provider, http)
            request = application.ask()
            callback = provider.authorize(request.url)
            now[0] += 30
            reply = application.redeem(request, callback)
        assert (reply.json()["error"], reply.json()["error_codes"]) == ("invalid_grant", [70008])

    def test_is_redeemed_with_http_basic_too(self, provider, application, http, request_and_callback):
        request, callback = request_and_callback
        form = {
            "grant_type": "authorization_code",
            "code": query_of(callback)["code"],
            "redirect_uri": REDIRECT_URI,
            "code_verifier": request.verifier,
        }
        token_url = provider.urls("oidc")["token"]
        wrong = http.post(token_url, data=form, auth=(provider.client_id, "wrong"))
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
        right = http.post(token_url, data=form, auth=(provider.client_id, provider.client_secret))
        assert right.status_code == 200

    def test_is_redeemed_by_a_public_client_with_pkce_and_no_secret(self, provider, application):
        provider.add_client("public", None)
        request = application.ask("plain", client_id="public")
        callback = provider.authorize(request.url)
        public = {"client_id": "public", "client_secret": None}
        first = application.redeem(request, callback, "plain", **public)
        assert first.status_code == 200
        again = application.refresh(first.json()["refresh_token"], "plain", **public)
        assert again.status_code == 200

    @pytest.mark.parametrize(("personality", "client"), [("plain", None), ("oidc", "public")])
    def test_needs_pkce_at_plain_and_for_public_clients(self, provider, application, personality, client):
        provider.add_client("public", None)
        changes = {"code_challenge": None, "code_challenge_method": None}
        request = application.ask(personality, client_id=client or provider.client_id, **changes)
        assert query_of(provider.authorize(request.url))["error"] == "invalid_request"


class TestTheIdToken:
    @pytest.mark.parametrize("personality", OIDC_PERSONALITIES)
    def test_verifies_against_the_published_keys(self, provider, application, http, personality):
        request = application.ask(personality)
        reply = application.redeem(request, provider.authorize(request.url), personality).json()
        claims = verified(provider, http, personality, reply["id_token"])
        assert claims["nonce"] == request.nonce
        assert provider.claims_of("ada@example.com", personality).items() <= claims.items() | {
            ("name", "Ada Lovelace")
        }
        assert claims["exp"] > claims["iat"]

    def test_is_absent_without_the_openid_scope_and_at_plain(self, application):
        assert "id_token" not in application.connect("oidc", scope="mail offline_access")
        assert "id_token" not in application.connect("plain", scope="openid mail")

    def test_at_microsoft_names_tenant_object_and_a_pairwise_subject(self, provider, application, http):
        account = provider.add_account("grace@navy.example", tenant="11111111-2222-3333-4444-555555555555")
        reply = application.connect(email="grace@navy.example")
        claims = verified(provider, http, "microsoft", reply["id_token"])
        template = http.get(provider.urls("microsoft")["discovery"]).json()["issuer"]
        assert template.endswith("/microsoft/{tenantid}/v2.0")
        assert claims["iss"] == template.replace("{tenantid}", account.tenant)
        assert (claims["tid"], claims["oid"], claims["ver"]) == (account.tenant, account.subject, "2.0")
        assert claims["sub"] != account.subject
        assert claims["sub"] != provider.claims_of("grace@navy.example", "microsoft", "another-app")["sub"]

    @pytest.mark.parametrize("personality", ["google", "oidc"])
    def test_elsewhere_has_the_configured_issuer_and_subject(self, provider, application, http, personality):
        provider.add_account("grace@navy.example", subject="subject-1")
        reply = application.connect(personality, "grace@navy.example")
        claims = verified(provider, http, personality, reply["id_token"])
        assert (claims["sub"], claims["iss"]) == ("subject-1", provider.urls(personality)["issuer"])
        assert claims.get("hd") == ("navy.example" if personality == "google" else None)

    def test_says_what_the_account_was_given(self, provider, application, http):
        provider.add_account("phone@example.com", preferred_username="+44 20 7946 0000", email_verified=False)
        claims = verified(provider, http, "oidc", application.connect("oidc", "phone@example.com")["id_token"])
        assert (claims["preferred_username"], claims["email_verified"]) == ("+44 20 7946 0000", False)

    def test_survives_a_key_rotation_until_the_old_key_is_dropped(self, provider, application, http):
        old = application.connect("oidc")["id_token"]
        kid = provider.rotate_signing_key()
        new = application.connect("oidc")["id_token"]
        assert jwt.get_unverified_header(new)["kid"] == kid
        assert verified(provider, http, "oidc", old)
        assert verified(provider, http, "oidc", new)
        provider.rotate_signing_key(keep_old=False)
        with pytest.raises(KeyError):
            verified(provider, http, "oidc", new)

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ({"claims": {"aud": "somebody-else"}}, jwt.InvalidAudienceError),
            ({"claims": {"exp": 1_000_000_000}}, jwt.ExpiredSignatureError),
            ({"claims": {"iat": 4_000_000_000}}, jwt.ImmatureSignatureError),
            ({"claims": {"aud": None}}, jwt.MissingRequiredClaimError),
            ({"algorithm": "none"}, jwt.InvalidAlgorithmError),
            ({"algorithm": "HS256"}, jwt.InvalidAlgorithmError),
        ],
    )
    def test_can_be_spoiled_so_that_a_client_refuses_it(self, provider, application, http, fault, error):
        provider.fail_next(fault=provider.id_token_fault(**fault))
        reply = application.connect("oidc")
        with pytest.raises(error):
            verified(provider, http, "oidc", reply["id_token"])


class TestUserinfo:
    @pytest.mark.parametrize("personality", ["google", "oidc"])
    def test_says_who_holds_the_token(self, provider, application, http, personality):
        token = application.connect(personality)["access_token"]
        url = provider.urls(personality)["userinfo"]
        reply = http.get(url, headers={"Authorization": f"Bearer {token}"})
        assert reply.json()["email"] == "ada@example.com"
        provider.expire_access_tokens("ada@example.com")
        refused = http.get(url, headers={"Authorization": f"Bearer {token}"})
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer ")

    def test_at_microsoft_takes_a_graph_token_and_no_outlook_token(self, provider, application, http):
        def status(token):
            url = provider.urls("microsoft")["userinfo"]
            return http.get(url, headers={"Authorization": f"Bearer {token}"}).status_code

        assert status(application.connect()["access_token"]) == 401
        assert status(application.connect(scope="openid User.Read")["access_token"]) == 200

    def test_needs_a_token(self, provider, http):
        assert http.get(provider.urls("oidc")["userinfo"]).status_code == 401


class TestScopes:
    def test_microsofts_reply_omits_openid_and_offline_scopes(self, application):
        assert application.connect()["scope"].split() == [IMAP, SMTP]

    def test_googles_reply_is_rewritten_and_reordered(self, application):
        scope = application.connect("google")["scope"]
        assert scope.split() == [
            "https://mail.google.com/",
            "https://www.googleapis.com/auth/userinfo.email",
            "openid",
        ]

    def test_a_user_can_grant_only_part(self, provider, application):
        reply = application.connect(scopes={IMAP})
        assert reply["scope"] == IMAP
        assert provider.is_valid_access_token(reply["access_token"], "ada@example.com", scope=IMAP)
        assert not provider.is_valid_access_token(reply["access_token"], scope=SMTP)

    def test_granting_nothing_of_what_was_asked_is_a_denial(self, provider, application):
        callback = provider.authorize(application.ask("plain").url, scopes=set())
        assert query_of(callback)["error"] == "access_denied"

    def test_microsoft_issues_a_token_for_one_resource(self, provider, application):
        both = f"openid offline_access {IMAP} https://graph.microsoft.com/User.Read"
        request = application.ask(scope=both)
        callback = provider.authorize(request.url)
        mixed = application.redeem(request, callback, scope=both).json()
        assert (mixed["error"], mixed["error_codes"]) == ("invalid_scope", [28000])
        reply = application.redeem(request, callback, scope=f"openid offline_access {IMAP}").json()
        assert reply["scope"] == IMAP
        graph = application.refresh(reply["refresh_token"], scope="https://graph.microsoft.com/User.Read").json()
        assert graph["scope"] == "https://graph.microsoft.com/User.Read"

    def test_microsoft_without_a_scope_takes_the_first_resource(self, application):
        assert application.connect(scope=f"offline_access {IMAP} User.Read")["scope"] == IMAP


class TestTheFirstRefreshToken:
    @pytest.mark.parametrize(
        ("personality", "changes", "expected"),
        [
            ("microsoft", {}, True),
            ("microsoft", {"scope": f"openid {IMAP}"}, False),
            ("oidc", {}, True),
            ("oidc", {"scope": "openid mail"}, False),
            ("google", {}, True),
            ("google", {"access_type": None}, False),
            ("plain", {}, True),
        ],
    )
    def test_comes_when_the_provider_would_give_one(self, application, personality, changes, expected):
        assert ("refresh_token" in application.connect(personality, **changes)) is expected

    def test_comes_from_google_once_unless_consent_is_asked_again(self, provider, application):
        assert "refresh_token" in application.connect("google")
        assert "refresh_token" not in application.connect("google")
        assert "refresh_token" in application.connect("google", prompt="consent")
        provider.revoke("ada@example.com")
        assert "refresh_token" in application.connect("google")

    def test_and_the_access_token_have_the_providers_size(self, application):
        reply = application.connect()
        assert len(reply["access_token"]) == 1800
        assert len(reply["refresh_token"]) == 1200
