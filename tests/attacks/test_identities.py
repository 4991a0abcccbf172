"""Whose grant it is, is read from what was signed for us, now, by the right party; odd values are refused."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from mail_oauth.connect.refusals import REFUSALS
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.tenants import CONSUMERS, tenant_of

pytestmark = pytest.mark.django_db

OTHER_TENANT = tenant_of("other.example")
NO_ADDRESSES = (
    ["ada@example.com"],
    {"a": "@"},
    7,
    "ada",
    "@",
    "x" * 250 + "@example.com",
    "ada@example.com\r\nBcc: eve@example.com",
    '"a\x01auth=Bearer"@example.com',
    "a\x00@example.com",
    "a\ud800@example.com",
    "ada@example.com, eve@example.com",
)


@pytest.fixture
def arrive(surfer, provider):
    """Connect with these claims in the id_token; the code of the refusal, or None when it was connected."""

    def arrive(alias="keycloak", claims=None, email="ada@example.com", **forging):
        callback = surfer.consent(surfer.start(alias), email)
        with provider.fault(provider.id_token_fault(claims, **forging)):
            where = surfer.follow(callback)["Location"]
        return where.split("/")[-2] if "/refused/" in where else None

    return arrive


@pytest.fixture
def configured(settings):
    """Change the options of an alias."""

    def configured(alias, **options):
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        changed = {**providers, alias: {**providers[alias], **options}}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": changed}

    return configured


class TestForgedTokens:
    @pytest.mark.parametrize("algorithm", ["none", "HS256"])
    def test_an_algorithm_that_anybody_can_sign_with(self, arrive, algorithm):
        assert arrive(algorithm=algorithm) == "bad_id_token"

    @pytest.mark.parametrize(
        "headers",
        [
            {"kid": "../../etc/passwd"},
            {"kid": "' OR 1=1 --"},
            {"kid": ""},
            {"crit": ["exp"]},
            {"crit": []},
            {"kid": "nobody's", "jku": "http://169.254.169.254/keys"},
        ],
    )
    def test_a_header_that_leads_elsewhere(self, arrive, headers):
        assert arrive(headers=headers) == "bad_id_token"

    def test_a_key_in_the_header_is_not_believed(self, arrive, provider, surfer):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)

        def forge(reply):
            true = jwt.decode(reply["id_token"], options={"verify_signature": False})
            kid = jwt.get_unverified_header(reply["id_token"])["kid"]
            forged = jwt.encode({**true, "sub": "victim"}, key, "RS256", headers={"kid": kid, "jwk": jwk})
            return {**reply, "id_token": forged}

        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        with provider.fault(Fault.mutate(forge)):
            assert "bad_id_token" in surfer.follow(callback)["Location"]

    @pytest.mark.parametrize("algorithm", ["ES256", "PS256", "RS256"])
    def test_a_key_of_another_kind_under_the_same_name(self, provider, surfer, algorithm):
        """The key set names a key that does not fit the algorithm: refused, not crashed."""
        mine = ec.generate_private_key(ec.SECP256R1())
        published = {**ECAlgorithm.to_jwk(mine.public_key(), as_dict=True), "kid": "k"}
        theirs = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if algorithm == "ES256":
            published = {**RSAAlgorithm.to_jwk(theirs.public_key(), as_dict=True), "kid": "k"}

        def forge(reply):
            true = jwt.decode(reply["id_token"], options={"verify_signature": False})
            key = mine if algorithm == "ES256" else theirs
            return {**reply, "id_token": jwt.encode(true, key, algorithm, headers={"kid": "k"})}

        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        with (
            provider.fault(Fault.mutate(forge)),
            provider.fault(Fault.json_value({"keys": [published]}), endpoint="jwks"),
        ):
            assert "bad_id_token" in surfer.follow(callback)["Location"]

    @pytest.mark.parametrize(
        "keys",
        [
            [],
            {},
            {"keys": "x"},
            {"keys": [1]},
            {"keys": [{"kty": "RSA"}]},
            {"keys": [{"kty": ["RSA"], "n": 5}]},
            {"keys": [{"kty": "oct", "k": "AAAA", "alg": ["HS256"]}]},
        ],
    )
    def test_an_odd_key_set_never_crashes(self, arrive, provider, keys):
        with provider.fault(Fault.json_value(keys), endpoint="jwks"):
            assert arrive() in {"provider_unavailable", "bad_id_token"}

    def test_one_odd_key_does_not_spoil_the_others(self, arrive, provider):
        odd = [{"kty": "RSA", "n": 5, "e": []}, {"kty": ["RSA"]}, {"kty": "EC", "crv": [], "alg": {}}, None]

        def add(reply):
            return {"keys": [*odd, *reply["keys"]]}

        with provider.fault(Fault.mutate(add), endpoint="jwks"):
            assert arrive() is None

    def test_a_token_without_kid_is_tried_with_every_key(self, arrive, provider, surfer):
        provider.rotate_signing_key()

        def forge(reply):
            true = jwt.decode(reply["id_token"], options={"verify_signature": False})
            key = provider._application.keys.current.private
            return {**reply, "id_token": jwt.encode(true, key, "RS256")}

        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        with provider.fault(Fault.mutate(forge)):
            assert "refused" not in surfer.follow(callback)["Location"]


class TestClaims:
    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "https://evil.example"},
            {"aud": "another client"},
            {"aud": []},
            {"aud": {}},
            {"azp": "another client"},
            {"azp": ["fake-provider-client"]},
            {"aud": ["fake-provider-client", "another client"]},  # without azp: OIDC Core §3.1.3.7, 4
            {"nonce": "another"},
            {"nonce": None},
            {"nonce": ""},
            {"nonce": ["x"]},
            {"nonce": "\ud800"},
            {"exp": 1},
            {"exp": "never"},
            {"exp": None},
            {"iat": 4102444800},
            {"nbf": 4102444800},
            {"sub": None},
            {"sub": ""},
            {"sub": ["a"]},
            {"sub": {"a": 1}},
            {"sub": 7},
            {"sub": True},
            {"sub": "x" * 256},
            {"sub": "a\x00b"},
            {"sub": "a\nb"},
            {"sub": "a\ud800"},
        ],
        ids=repr,
    )
    def test_a_claim_that_does_not_fit(self, arrive, claims):
        assert arrive(claims=claims) in {"bad_id_token", "no_identity"}
        assert not MailCredentials.objects.exists()

    def test_several_audiences_with_azp_are_fine(self, arrive):
        audiences = ["fake-provider-client", "another client"]
        assert arrive(claims={"aud": audiences, "azp": "fake-provider-client"}) is None

    def test_an_empty_subject_is_not_told_by_its_address(self, arrive, connect, surfer):
        """Were "" a subject, whoever bears the address would be taken for the account."""
        row = connect("keycloak", email="ada@example.com", owner=surfer.user, subject="", issuer="")
        assert arrive(claims={"sub": ""}) in {"bad_id_token", "no_identity"}
        row.refresh_from_db()
        assert row.generation == 1

    @pytest.mark.parametrize(
        ("alias", "email"),
        [(alias, email) for alias in ("keycloak", "microsoft") for email in NO_ADDRESSES] + [("google", ["x"])],
        ids=repr,
    )
    def test_an_address_that_is_none_is_asked_for(self, arrive, alias, email):
        """Or taken from userinfo, where there is one; it is never stored."""
        refused = arrive(alias, {"email": email, "preferred_username": email})
        assert refused == ("no_address" if alias == "microsoft" else None)
        assert list(MailCredentials.objects.values_list("email", flat=True)) in ([], ["ada@example.com"])

    @pytest.mark.parametrize("value", [["x"], {"a": 1}, 7, "x" * 300, "a\x00b", "a\ud800", "a\r\nb"], ids=repr)
    def test_what_is_only_informative_is_left_out(self, arrive, value):
        assert arrive("google", {"hd": value}) is None
        assert MailCredentials.objects.get().tenant == ""
        assert arrive("microsoft", {"preferred_username": value}) is None
        assert MailCredentials.objects.get(provider="microsoft").sign_in_address == "ada@example.com"

    @pytest.mark.parametrize("verified", ["yes", 1, ["true"], "false", None, {}])
    def test_verified_is_what_says_so_exactly(self, arrive, verified):
        assert arrive(claims={"email_verified": verified}) is None
        assert not MailCredentials.objects.get().email_verified


class TestMicrosoftsTenants:
    @pytest.mark.parametrize(
        "claims",
        [
            {"tid": None},
            {"tid": ""},
            {"tid": ["x"]},
            {"tid": OTHER_TENANT},
            {"tid": "common", "iss": "{host}/common/v2.0"},
            {"tid": "", "iss": "{host}//v2.0"},
            {"tid": "../../evil", "iss": "{host}/../../evil/v2.0"},
            {"tid": f"{OTHER_TENANT}/evil", "iss": f"{{host}}/{OTHER_TENANT}/evil/v2.0"},
            {"tid": f"{OTHER_TENANT}%2f", "iss": f"{{host}}/{OTHER_TENANT}%2f/v2.0"},
            {"tid": f"{OTHER_TENANT}\n", "iss": f"{{host}}/{OTHER_TENANT}\n/v2.0"},
            {"tid": OTHER_TENANT.upper(), "iss": f"{{host}}/{OTHER_TENANT.upper()}/v2.0"},
            {"tid": "{tenantid}", "iss": "{host}/{tenantid}/v2.0"},
            {"tid": "{host}", "iss": "{host}/{host}/v2.0"},
            {"tid": "{0}", "iss": "{host}/{0}/v2.0"},
            {"tid": "example.com", "iss": "{host}/example.com/v2.0"},
            {"iss": "{host}/{tenantid}/v2.0"},
            {"iss": f"{{host}}/{OTHER_TENANT}/v2.0"},
        ],
        ids=repr,
    )
    def test_the_issuer_names_the_tenant_of_the_token(self, arrive, provider, claims):
        host = f"{provider.url}/microsoft"
        filled = {
            name: value.replace("{host}", host) if isinstance(value, str) else value
            for name, value in claims.items()
        }
        assert arrive("microsoft", filled) == "bad_id_token"

    @pytest.mark.parametrize("template", ["{tenantid}", "{0}", "{", "{host.x}", "{}"])
    def test_a_template_of_an_issuer_is_a_setting_to_be_mended(self, arrive, configured, provider, template):
        """Microsoft's discovery names such a one for `common`, and somebody copies it into the settings."""
        configured("google", ISSUER=f"{provider.url}/{template}/v2.0")
        assert arrive("google") == "misconfigured"

    @pytest.mark.parametrize("oid", [["x"], {"a": 1}, 7, "", "x" * 300, "a\x00b"], ids=repr)
    def test_an_odd_oid(self, arrive, oid):
        assert arrive("microsoft", {"oid": oid}) in {None, "no_identity"}
        for row in MailCredentials.objects.all():
            assert "[" not in row.subject
            assert "{" not in row.subject

    @pytest.mark.parametrize(
        ("tenant", "tid", "admitted"),
        [
            ("common", OTHER_TENANT, True),
            ("common", CONSUMERS, True),
            ("organizations", OTHER_TENANT, True),
            ("organizations", CONSUMERS, False),
            ("consumers", CONSUMERS, True),
            ("consumers", OTHER_TENANT, False),
            (OTHER_TENANT, OTHER_TENANT, True),
            (OTHER_TENANT.upper(), OTHER_TENANT, True),
            (OTHER_TENANT, CONSUMERS, False),
            ("other.example", OTHER_TENANT, True),
            ("other.example", tenant_of("example.com"), False),
            ("a-b-c-d-e.example", tenant_of("example.com"), False),
        ],
    )
    def test_only_people_of_the_configured_tenant(self, arrive, configured, provider, tenant, tid, admitted):
        """A user may change the tenant in the address bar on the way to the provider; what counts is the token."""
        configured("microsoft", TENANT=tenant)
        consenting = {
            "organizations": "bob@other.example",
            "consumers": "bob@outlook.com",
            "other.example": "bob@other.example",
            "a-b-c-d-e.example": "bob@a-b-c-d-e.example",
        }.get(tenant, "bob@other.example")
        issuer = f"{provider.url}/microsoft/{tid}/v2.0"
        found = arrive("microsoft", {"tid": tid, "iss": issuer}, email=consenting)
        assert found == (None if admitted else "bad_id_token")


class TestUserinfo:
    @pytest.fixture(autouse=True)
    def no_openid(self, configured, provider):
        """Who it is comes from userinfo alone."""
        configured("keycloak", SCOPES=["email", "offline_access", "mail"])

    def answered(self, surfer, provider, answer):
        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        with provider.fault(Fault.raw(200, json.dumps(answer).encode()), endpoint="userinfo"):
            where = surfer.follow(callback)["Location"]
        return where.split("/")[-2] if "/refused/" in where else None

    @pytest.mark.parametrize(
        "sub", [None, "", 0, 7, True, ["a"], {"a": 1}, "x" * 256, "a\x00b", "\ud800"], ids=repr
    )
    def test_an_odd_subject(self, surfer, provider, sub):
        assert self.answered(surfer, provider, {"sub": sub, "email": "ada@example.com"}) == "no_identity"

    @pytest.mark.parametrize("answer", [[], "x", None, 7, {}], ids=repr)
    def test_no_object(self, surfer, provider, answer):
        assert self.answered(surfer, provider, answer) == "no_identity"

    def test_it_does_not_choose_its_issuer(self, surfer, provider):
        claims = {"sub": "ada", "email": "ada@example.com", "iss": "https://victim.example"}
        assert self.answered(surfer, provider, claims) is None
        assert MailCredentials.objects.get().issuer == provider.urls("oidc")["issuer"]


class TestTheAddressFromUserinfo:
    """The id_token names the account, userinfo the address."""

    def answered(self, arrive, provider, answer, **claims):
        with provider.fault(Fault.raw(200, json.dumps(answer).encode()), endpoint="userinfo"):
            return arrive(claims={"email": None, "email_verified": None, **claims})

    def test_of_the_same_account(self, arrive, provider):
        sub = provider.add_account("ada@example.com").subject
        assert self.answered(arrive, provider, {"sub": sub, "email": "ada@example.com"}) is None
        assert MailCredentials.objects.get().email == "ada@example.com"

    def test_of_another_account(self, arrive, provider):
        assert self.answered(arrive, provider, {"sub": "eve", "email": "eve@example.com"}) == "no_address"

    def test_its_verification_is_of_its_own_address(self, arrive, provider):
        sub = provider.add_account("ada@example.com").subject
        answer = {"sub": sub, "email": "ceo@example.com", "email_verified": False}
        assert self.answered(arrive, provider, answer, email_verified=True) is None
        assert not MailCredentials.objects.get().email_verified

    def test_an_empty_address_in_the_id_token_does_not_hide_it(self, arrive, provider):
        sub = provider.add_account("ada@example.com").subject
        answer = {"sub": sub, "email": "ada@example.com"}
        assert self.answered(arrive, provider, answer, email="") is None


def test_microsoft_by_userinfo_alone_is_refused_not_crashed(surfer, provider, configured):
    configured(
        "microsoft",
        SCOPES=["offline_access", "https://outlook.office.com/IMAP.AccessAsUser.All"],
        USERINFO_URL=provider.urls("oidc")["userinfo"],
    )
    callback = surfer.consent(surfer.start(), "ada@example.com")
    with provider.fault(Fault.raw(200, b'{"sub": "x", "email": "ada@example.com"}'), endpoint="userinfo"):
        assert "no_identity" in surfer.follow(callback)["Location"]


def test_every_code_of_a_refusal_has_its_words():
    """A code without a page would be a 500 in the middle of the flow."""
    import re
    from pathlib import Path

    import mail_oauth
    from mail_oauth.connect.answers import REFUSALS_BY_ERROR
    from mail_oauth.connect.complete import _REFUSALS_BY_ACTION

    codes = set(REFUSALS_BY_ERROR.values()) | set(_REFUSALS_BY_ACTION.values())
    for path in Path(mail_oauth.__file__).parent.rglob("*.py"):
        codes.update(re.findall(r'ConnectRefused\(\s*"(\w+)"', path.read_text()))
    assert codes <= set(REFUSALS)
