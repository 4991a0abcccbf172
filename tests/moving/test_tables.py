"""Other packages' own models, and their own code that writes to them."""

from __future__ import annotations

import importlib
import json
import time
from base64 import urlsafe_b64encode
from datetime import timedelta

import jwt
import pytest
from django.utils import timezone

from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db


class TestAllauth:
    @pytest.fixture
    def token(self, allauth, user):
        """Stores a login's token as allauth does."""

        def make(grant, provider="google", uid=None, app=None, extra=None, **columns):
            account = allauth.SocialAccount.objects.create(
                user=user,
                provider=provider,
                uid=uid or grant.subject,
                extra_data={"email": grant.email} if extra is None else extra,
            )
            values = {
                "token": grant.access_token,
                "token_secret": grant.refresh_token,
                "expires_at": grant.expires_at,
            }
            return allauth.SocialToken.objects.create(account=account, app=app, **{**values, **columns})

        return make

    def test_a_token_is_a_mailbox_of_googles_own_subject(self, token, granted, report, user, provider, surfer):
        grant = granted("google")
        token(grant)
        [result] = report("allauth")
        assert result["outcome"] == "imported"
        row = MailCredentials.objects.get()
        assert (row.user, row.provider, row.email, row.subject) == (user, "google", grant.email, grant.subject)
        assert row.issuer == provider_for("google").setting("ISSUER")
        assert row.get_access_token().reveal() == grant.access_token
        assert provider.is_valid_access_token(row.refresh_now().reveal())

    def test_its_user_reconnects_that_very_mailbox(self, token, granted, report, surfer):
        grant = granted("google")
        token(grant)
        report("allauth")
        [pk] = MailCredentials.objects.values_list("pk", flat=True)
        surfer.connect("google", grant.email)
        assert MailCredentials.objects.get().pk == pk

    def test_microsofts_id_pins_nothing_and_its_token_may_be_another_resources(
        self, token, granted, report, provider
    ):
        grant = granted("microsoft")
        token(
            grant, "microsoft", uid="graphs-id", extra={"mail": grant.email, "userPrincipalName": "x@example.com"}
        )
        assert outcomes(report("allauth")) == ["imported"]
        row = MailCredentials.objects.get()
        assert (row.subject, row.access_token) == ("", None)
        assert provider.is_valid_access_token(row.get_access_token().reveal())

    def test_the_same_again_is_here(self, token, granted, report):
        token(granted("google"))
        token(granted("microsoft"), "microsoft")
        assert outcomes(report("allauth")) == ["imported"] * 2
        assert outcomes(report("allauth")) == ["here"] * 2

    def test_what_cannot_be_a_mailbox_says_why(self, token, granted, report, allauth):
        other = allauth.SocialApp.objects.create(provider="google", name="other", client_id="of-another-client")
        token(granted("google"), app=other)
        token(granted("google"), token_secret="")
        token(granted("google"), provider="github")
        token(granted("google"), extra={})
        token(granted("google"), token_secret="two\nlines")
        found = outcomes(report("allauth"))
        assert sorted(found) == [
            "no_address",
            "no_refresh_token",
            "other_client",
            "unknown_provider",
            "unreadable",
        ]
        assert not MailCredentials.objects.exists()

    def test_the_users_own_address_where_it_is_wanted(self, token, granted, report, user):
        user.email = "ada@example.com"
        user.save()
        token(granted("google"), extra={})
        assert outcomes(report("allauth", "--address-of-user")) == ["imported"]
        assert MailCredentials.objects.get().email == "ada@example.com"

    @pytest.mark.parametrize("where", ["userinfo", "id_token"])
    def test_of_openid_connect_which_keeps_what_it_was_told_a_level_deeper(
        self, where, token, granted, report, allauth, provider
    ):
        """As its own code does it, for a provider that one names oneself."""
        grant, told = granted("keycloak"), {"sub": "1", "email": "ada@example.com"}
        token(grant, "keycloak", extra={where: told})
        [account] = allauth.SocialAccount.objects.all()
        openid = importlib.import_module("allauth.socialaccount.providers.openid_connect.provider")
        assert openid._pick_data(account.extra_data) == told
        assert outcomes(report("allauth")) == ["imported"]
        assert MailCredentials.objects.get().email == "ada@example.com"

    def test_whose_id_token_says_whose_account_it_is(self, token, granted, report, provider):
        grant = granted("google")
        issuer = provider_for("google").setting("ISSUER")
        token(grant, extra={"userinfo": {"email": grant.email}, "id_token": {"iss": issuer, "sub": grant.subject}})
        assert outcomes(report("allauth")) == ["imported"]
        row = MailCredentials.objects.get()
        assert (row.issuer, row.subject) == (issuer, grant.subject)

    def test_nothing_of_it_is_changed(self, token, granted, report, allauth):
        token(granted("google"))
        before = list(allauth.SocialToken.objects.values()), list(allauth.SocialAccount.objects.values())
        report("allauth", "--verify")
        assert (list(allauth.SocialToken.objects.values()), list(allauth.SocialAccount.objects.values())) == before


def test_a_package_that_is_not_installed_is_told(run, provider, db):
    code, text = run("import", "allauth")
    assert code == 1
    assert "INSTALLED_APPS" in text


class TestSocialAuth:
    @pytest.fixture
    def association(self, social, user):
        """Stores an association by the package's own `set_extra_data`."""

        def make(grant, provider="google-oauth2", uid=None, **extra):
            made = social.UserSocialAuth.objects.create(user=user, provider=provider, uid=uid or grant.email)
            made.set_extra_data(
                {
                    "access_token": grant.access_token,
                    "refresh_token": grant.refresh_token,
                    "auth_time": int(grant.issued_at.timestamp()),
                    "expires": int((grant.expires_at - grant.issued_at).total_seconds()),
                    **extra,
                }
            )
            return made

        return make

    def test_an_association_is_a_mailbox(self, association, granted, report, provider):
        grant = granted("google")
        association(grant, sub=grant.subject)
        assert outcomes(report("social-auth")) == ["imported"]
        row = MailCredentials.objects.get()
        assert (row.provider, row.email, row.subject) == ("google", grant.email, grant.subject)
        assert row.token_expiry == grant.expires_at
        assert row.token_issued_at == grant.issued_at
        assert provider.is_valid_access_token(row.refresh_now().reveal())

    def test_says_the_same_of_its_end_as_the_package_does(self, association, granted, report):
        made = association(granted("google"))
        report("social-auth")
        expected = timezone.now() + made.expiration_timedelta()
        assert abs(MailCredentials.objects.get().token_expiry - expected) < timedelta(seconds=5)

    @pytest.mark.parametrize("name", ["microsoft-graph", "azuread-oauth2", "azuread-tenant-oauth2"])
    def test_of_microsoft_by_any_of_its_backends(self, name, association, granted, report):
        association(granted(), name)
        assert outcomes(report("social-auth")) == ["imported"]
        assert MailCredentials.objects.get().provider == "microsoft"

    def test_by_an_option_of_a_backend_of_ones_own(self, association, granted, report):
        association(granted("keycloak"), "our-sso")
        assert outcomes(report("social-auth")) == ["unknown_provider"]
        assert outcomes(report("social-auth", "--provider", "our-sso=keycloak")) == ["imported"]

    def test_that_names_too_few_scopes(self, association, granted, report):
        association(granted("google"), scope="openid email")
        [result] = report("social-auth")
        assert (result["outcome"], result["reason"]) == ("wrong_scopes", "missing https://mail.google.com/")
        assert outcomes(report("social-auth", "--any-scopes")) == ["imported"]

    @pytest.mark.parametrize("extra", [{"expires": "soon"}, {"refresh_token": 7}, {"auth_time": "noon"}])
    def test_that_is_unreadable(self, extra, association, granted, report):
        association(granted("google"), **extra)
        assert outcomes(report("social-auth")) == ["unreadable"]

    def test_that_was_kept_as_text(self, association, granted, report):
        made = association(granted("google"))
        type(made).objects.filter(pk=made.pk).update(extra_data=json.dumps(made.extra_data))
        assert outcomes(report("social-auth")) == ["imported"]


class TestO365:
    """Token caches that the package's own code writes."""

    @pytest.fixture
    def save(self, provider):
        """Has a backend of O365 store a grant, as MSAL tells it of a reply."""

        def add(backend, grant, *, guest=False, client=None, **also):
            options = provider_for("microsoft").options
            tid, oid = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
            host = provider_for("microsoft").placeholders()["host"]
            claims = {
                "iss": f"{host}/{tid}/v2.0",
                "tid": tid,
                "oid": oid,
                "sub": "pairwise",
                "aud": options["CLIENT_ID"],
                "preferred_username": grant.email,
                "exp": int(time.time()) + 3600,
                "iat": int(time.time()),
            }
            backend.add(
                {
                    "client_id": client or options["CLIENT_ID"],
                    "scope": grant.scope.split(),
                    "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
                    "response": {
                        "access_token": grant.access_token,
                        "refresh_token": grant.refresh_token,
                        "expires_in": 3000,
                        "scope": grant.scope,
                        "token_type": "Bearer",
                        "id_token": jwt.encode(claims, "a key that nobody looks at, but long enough", "HS256"),
                        "id_token_claims": claims,
                        "client_info": urlsafe_b64encode(json.dumps({"uid": oid, "utid": tid}).encode()).decode(),
                        **also,
                    },
                }
            )
            backend.save_token(force=True)
            return tid, oid

        return add

    @pytest.fixture
    def file_of(self, elsewhere):
        utils = pytest.importorskip("O365.utils", reason="O365 is not installed")
        return lambda name: utils.FileSystemTokenBackend(token_path=elsewhere, token_filename=name)

    def test_a_file_is_a_mailbox_of_microsofts_own_account(
        self, save, file_of, granted, report, user, elsewhere, provider
    ):
        grant = granted()
        tid, oid = save(file_of(f"{user.username}.json"), grant)
        [result] = report("o365", "--path", elsewhere, "--user-field", "username")
        assert result["outcome"] == "imported"
        row = MailCredentials.objects.get()
        assert (row.user, row.email, row.subject, row.tenant) == (user, grant.email, f"{tid}/{oid}", tid)
        assert row.get_access_token().reveal() == grant.access_token
        assert provider.is_valid_access_token(row.refresh_now().reveal())

    def test_a_single_file_with_its_user_named(self, save, file_of, granted, report, user, elsewhere):
        save(file_of("o365_token.txt"), granted())
        file = elsewhere / "o365_token.txt"
        assert outcomes(report("o365", "--path", file)) == ["unknown_user"]
        assert outcomes(report("o365", "--path", file, "--user", user.pk)) == ["imported"]
        assert outcomes(report("o365", "--path", file, "--user", user.pk)) == ["here"]

    def test_users_by_the_mailboxes_addresses_where_that_is_wanted(
        self, save, file_of, granted, report, user, elsewhere
    ):
        grant = granted()
        user.email = grant.email
        user.save()
        save(file_of("o365_token.txt"), grant)
        assert outcomes(report("o365", "--path", elsewhere, "--user-field", "email")) == ["imported"]
        assert MailCredentials.objects.get().user == user

    def test_a_grant_of_another_client(self, save, file_of, granted, report, user, elsewhere):
        save(file_of("o365_token.txt"), granted(), client="another")
        assert outcomes(report("o365", "--path", elsewhere, "--user", user.pk)) == ["other_client"]

    def test_the_file_of_older_releases(self, granted, report, user, elsewhere):
        grant = granted()
        old = {
            "token_type": "Bearer",
            "scope": grant.scope.split(),
            "expires_in": 3600,
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "expires_at": grant.expires_at.timestamp(),
            "email": grant.email,
        }
        (elsewhere / "o365_token.txt").write_text(json.dumps(old))
        assert outcomes(report("o365", "--path", elsewhere, "--user", user.pk)) == ["imported"]
        assert MailCredentials.objects.get().token_expiry == grant.expires_at

    @pytest.mark.parametrize(
        "content", ["", "gAAAAABencrypted", "{}", '{"RefreshToken": [1]}', '{"RefreshToken": {"a": 1}}']
    )
    def test_what_is_no_token_cache(self, content, report, user, elsewhere, provider):
        (elsewhere / "token.txt").write_text(content)
        assert outcomes(report("o365", "--path", elsewhere, "--user", user.pk)) == ["unreadable"]

    def test_the_table_of_the_django_backend_of_which_the_last_row_counts(
        self, save, office, granted, report, user
    ):
        from O365.utils import DjangoTokenBackend

        older, newer = granted(email="ada@example.com"), granted(email="ada@example.com")
        for grant in (older, newer):
            save(DjangoTokenBackend(token_model=office.TokenModel), grant)
        office.TokenModel.objects.update(owner=user)
        results = report("o365", "--model", "office.TokenModel", "--user-column", "owner")
        assert outcomes(results) == ["imported", "here"]
        assert MailCredentials.objects.get().open_refresh_token().reveal() == newer.refresh_token

    def test_rows_of_nobody(self, save, office, granted, report, user):
        from O365.utils import DjangoTokenBackend

        save(DjangoTokenBackend(token_model=office.TokenModel), granted())
        assert outcomes(report("o365", "--model", "office.TokenModel", "--user-column", "owner")) == [
            "unknown_user"
        ]
        assert outcomes(report("o365", "--model", "office.TokenModel", "--user", user.pk)) == ["imported"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--model", "nowhere.Model"], "no model"),
            (["--model", "office.TokenModel", "--user-column", "x"], "column"),
        ],
    )
    def test_a_model_that_is_none(self, options, words, run, office, provider):
        code, text = run("import", "o365", *options)
        assert (code, words in text) == (1, True)
