"""A mailbox without a user has a token, by each way in which an app shows who it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from mail_oauth.exceptions import AdminRequired, ProviderUnavailable
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials, ProviderHealth
from mail_oauth.testing.app_rules import JWT_BEARER
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.registrations import Federation
from tests.mailboxes import stored


def opens(provider, token, *addresses):
    return all(provider.is_valid_access_token(token.reveal(), each) for each in addresses)


class TestMicrosoft:
    def test_by_secret(self, site, add, provider, asked):
        mailbox = add("work", "ada@contoso.example")
        assert opens(provider, mailbox.get_access_token(), "ada@contoso.example")
        assert asked() == [None]
        assert provider.token_calls("client_credentials")

    def test_by_the_next_secret_where_the_first_is_refused(self, site, add, provider, asked):
        site.change("work", CLIENT_SECRET=["a-secret-that-is-not-in-force-yet", provider.client_secret])
        assert add("work", "ada@contoso.example").get_access_token()
        assert asked() == ["invalid_client", None]

    @pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
    def test_by_certificate(self, site, add, provider, asked, algorithm):
        certificate = site.certificate()
        provider.register_app(certificates=[certificate.public])
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=certificate.path, CERTIFICATE_ALGORITHM=algorithm)
        mailbox = add("work", "ada@contoso.example")
        assert opens(provider, mailbox.get_access_token(), "ada@contoso.example")
        assert opens(provider, mailbox.refresh_now(), "ada@contoso.example"), (
            "each request has an assertion of its own"
        )
        assert asked() == [None, None]

    def test_by_certificate_written_out_in_the_settings(self, site, add, provider):
        certificate = site.certificate()
        provider.register_app(certificates=[certificate.public])
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=certificate.path.read_text())
        assert add("work", "ada@contoso.example").get_access_token()

    def test_a_certificate_that_is_replaced_in_its_file_is_in_use_at_once(self, site, add, provider, asked):
        certificate = site.certificate()
        provider.register_app(certificates=[certificate.public])
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=str(certificate.path))
        mailbox = add("work", "ada@contoso.example")
        mailbox.get_access_token()
        certificate.write()
        provider.register_app(certificates=[certificate.public])
        assert mailbox.refresh_now()
        assert asked() == [None, None]

    def test_a_new_certificate_gives_way_to_the_former_one_until_it_is_registered(
        self, site, add, provider, asked
    ):
        new, former = site.certificate("new.pem"), site.certificate("former.pem")
        provider.register_app(certificates=[former.public])
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=[str(new.path), str(former.path)])
        mailbox = add("work", "ada@contoso.example")
        assert mailbox.get_access_token()
        assert asked() == ["invalid_client", None]
        provider.register_app(certificates=[new.public])
        assert mailbox.refresh_now()

    def test_a_certificate_gives_way_to_the_secret_that_it_replaces(self, site, add, provider, asked):
        certificate = site.certificate()
        provider.register_app()
        site.change("work", CLIENT_CERTIFICATE=str(certificate.path))
        assert add("work", "ada@contoso.example").get_access_token()
        assert asked() == ["invalid_client", None]

    @pytest.mark.parametrize("option", ["CLIENT_CERTIFICATE", "FEDERATED_TOKEN_FILE"])
    def test_a_file_that_is_gone_gives_way_to_the_secret_too(self, site, add, provider, asked, option):
        provider.register_app()
        site.change("work", **{option: str(site.directory / "gone")})
        assert add("work", "ada@contoso.example").get_access_token()
        assert asked() == [None]

    def test_a_certificate_that_is_gone_gives_way_to_the_next(self, site, add, provider, asked):
        certificate, gone = site.certificate(), site.directory / "gone.pem"
        provider.register_app(certificates=[certificate.public])
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=[str(gone), str(certificate.path)])
        assert add("work", "ada@contoso.example").get_access_token()
        assert asked() == [None]

    def test_files_that_are_all_gone_are_the_operators_business(self, site, add, asked):
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=[str(site.directory / name) for name in "ab"])
        with pytest.raises(ProviderUnavailable):
            add("work", "ada@contoso.example").get_access_token()
        assert asked() == []

    def test_by_the_token_of_a_platform_which_is_read_anew_each_time(self, site, add, provider, asked):
        certificate = site.certificate()
        token = Token(certificate, site.directory / "token")
        provider.register_app(federations=[token.federation])
        site.change("work", "CLIENT_SECRET", FEDERATED_TOKEN_FILE=token.path)
        token.write(minutes=-1)
        mailbox = add("work", "ada@contoso.example")
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        token.write(minutes=10)
        assert mailbox.refresh_now()
        assert asked()[-1] is None

    def test_what_signs_for_the_app_also_signs_for_the_consents_of_users(
        self, site, provider, connect, surfer, settings
    ):
        certificate = site.certificate()
        provider.register_app(certificates=[certificate.public])
        ours = settings.MAIL_OAUTH
        microsoft = {**ours["PROVIDERS"]["microsoft"], "CLIENT_CERTIFICATE": str(certificate.path)}
        del microsoft["CLIENT_SECRET"]
        settings.MAIL_OAUTH = {**ours, "PROVIDERS": {**ours["PROVIDERS"], "microsoft": microsoft}}
        provider.clear_calls()
        surfer.connect("microsoft")
        mailbox = MailCredentials.objects.get(provider="microsoft")
        assert mailbox.refresh_now()
        assert [(call.grant_type, call.error) for call in provider.token_calls()] == [
            ("authorization_code", None),
            ("refresh_token", None),
        ]


class Token:
    """A platform's token in a file."""

    def __init__(self, certificate, path):
        self.key, self.path = certificate.key, path
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.federation = Federation(
            issuer="https://cluster.example", subject="system:app", public_key=public.decode()
        )

    def write(self, *, minutes):
        claims = {
            "iss": self.federation.issuer,
            "sub": self.federation.subject,
            "aud": self.federation.audience,
            "exp": datetime.now(UTC) + timedelta(minutes=minutes),
        }
        self.path.write_text(jwt.encode(claims, self.key, algorithm="RS256") + "\n")


class TestGoogle:
    def test_by_service_account_a_token_for_each_mailbox(self, site, add, provider, asked):
        ada, bob = add("domain", "ada@example.com", "bob@example.com")
        of_ada, of_bob = ada.get_access_token(), bob.get_access_token()
        assert opens(provider, of_ada, ada.email)
        assert not opens(provider, of_ada, bob.email)
        assert opens(provider, of_bob, bob.email)
        assert [call.email for call in provider.token_calls(JWT_BEARER)] == [ada.email, bob.email]

    def test_by_a_service_account_written_out_in_the_settings(self, site, add, provider):
        site.change("domain", SERVICE_ACCOUNT=provider.add_service_account())
        assert add("domain", "ada@example.com").get_access_token()

    def test_a_key_that_is_replaced_in_its_file_is_in_use_at_once(self, site, add, provider, asked):
        mailbox = add("domain", "ada@example.com")
        mailbox.get_access_token()
        site.key_file.write_text(json.dumps(provider.add_service_account()))
        assert mailbox.refresh_now()
        assert asked() == [None, None]


class TestNobodysConsent:
    @pytest.mark.parametrize(("alias", "access"), [("work", Access.SHARED), ("domain", Access.OWN)])
    def test_is_stored(self, site, add, alias, access):
        mailbox = add(alias, "ada@example.com")
        mailbox.get_access_token()
        row = stored(mailbox)
        assert (row.user, row.access, row.refresh_token) == (None, access, None)
        assert MailCredentials.objects.filter(refresh_token__isnull=False).count() == 0
        assert row.refresh_token_expires_at is None, "no grant ends"

    def test_a_refresh_token_that_comes_all_the_same_is_left(self, site, add, provider):
        provider.fail_next(1, Fault.mutate(lambda reply: {**reply, "refresh_token": "1.AXoA-of-nobody"}))
        add("work", "ada@contoso.example").get_access_token()
        assert MailCredentials.objects.filter(refresh_token__isnull=False).count() == 0


class TestARefusal:
    @pytest.mark.parametrize("number", [7000215, 7000222, 700027, 700024, 700213])
    def test_of_the_client_is_the_apps_trouble_and_no_mailboxs(self, site, add, provider, number):
        mailbox = add("work", "ada@contoso.example")
        fault = provider.fault(Fault.oauth_error("invalid_client", status=401, aadsts=number))
        with fault, pytest.raises(ProviderUnavailable) as raised:
            mailbox.get_access_token()
        assert raised.value.reason == f"AADSTS{number}"
        assert ProviderHealth.objects.get(held=True).trouble == "client"
        assert MailCredentials.objects.healthy().count() == 1

    def test_at_an_endpoint_of_many_tenants_is_the_operators(self, site, add, provider):
        site.change("work", TENANT="organizations")
        with pytest.raises(ProviderUnavailable, match="AADSTS9001023"):
            add("work", "ada@contoso.example").get_access_token()
        assert MailCredentials.objects.healthy().count() == 1

    def test_that_asks_for_a_user_asks_for_an_administrator_where_there_is_none(self, site, add, provider):
        mailbox = add("work", "ada@contoso.example")
        with provider.fault(Fault.oauth_error("invalid_grant", aadsts=65001)):
            with pytest.raises(AdminRequired):
                mailbox.get_access_token()
            with pytest.raises(AdminRequired, match="an administrator"):
                mailbox.get_access_token()
        assert not MailCredentials.objects.filter(status="needs_reauth").exists()
        assert mailbox.refresh_now(), "and as soon as they have acted, it works"

    def test_of_an_unknown_mailbox_is_that_mailboxs(self, site, add, provider):
        gone, here = add("domain", "gone@elsewhere.example", "ada@example.com")
        with pytest.raises(AdminRequired):
            gone.get_access_token()
        row = stored(gone)
        assert (row.status, row.status_reason) == ("needs_admin", "invalid_grant_mailbox")
        assert here.get_access_token()
        assert not ProviderHealth.objects.filter(held=True).exists()

    def test_of_a_deleted_key_is_the_apps_trouble(self, site, add, provider):
        mailbox = add("domain", "ada@example.com")
        provider.add_service_account()
        with pytest.raises(ProviderUnavailable, match="invalid_grant_signature"):
            mailbox.get_access_token()
        assert ProviderHealth.objects.get(held=True).trouble == "client"
        assert stored(mailbox).status == "connected"

    def test_of_a_service_account_without_delegation_is_the_operators(self, site, add, provider):
        mailbox = add("domain", "ada@example.com")
        with provider.fault(Fault.not_delegated()), pytest.raises(ProviderUnavailable) as raised:
            mailbox.get_access_token()
        assert raised.value.reason == "unauthorized_client"
        assert stored(mailbox).status == "connected"

    def test_for_a_clock_that_is_wrong_is_the_operators(self, site, add, provider):
        mailbox = add("domain", "ada@example.com")
        told = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        fault = provider.fault(Fault.oauth_error("invalid_grant", description=told))
        with fault, pytest.raises(ProviderUnavailable, match="invalid_grant_clock"):
            mailbox.get_access_token()

    def test_for_want_of_a_file_is_the_operators(self, site, add):
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=str(site.directory / "nowhere.pem"))
        with pytest.raises(ProviderUnavailable, match="configuration"):
            add("work", "ada@contoso.example").get_access_token()
