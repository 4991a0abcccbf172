"""The doctor asks as the app asks, and says what is wrong with its credential before a mailbox is in trouble."""

from __future__ import annotations

import pytest

from mail_oauth.upkeep.doctor import examine

pytestmark = pytest.mark.django_db


@pytest.fixture
def said(site):
    """`said(alias)`: what it finds at the token endpoint."""

    def ask(alias: str) -> tuple[str, str, str]:
        site.change(alias, IMAP=None, POP=None, SMTP=None)
        [found] = [each for each in examine(live=True, provider=alias).findings if each.id == "provider.token"]
        return str(found.level), found.what, found.hint

    return ask


def test_a_good_secret_is_given_a_token(said):
    level, text, _ = said("work")
    assert (level, "given a token" in text) == ("ok", True)


def test_a_certificate_that_is_not_registered_is_told(site, said):
    site.provider.register_app()
    site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=str(site.certificate().path))
    level, text, hint = said("work")
    assert (level, "AADSTS700027" in text, "Register" in hint) == ("error", True, True)


def test_a_certificate_that_cannot_be_read_is_told(site, said):
    site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=str(site.directory / "nowhere.pem"))
    level, _, hint = said("work")
    assert (level, "nowhere.pem" in hint) == ("error", True)


def test_a_service_account_is_accepted(said):
    level, text, _ = said("domain")
    assert (level, "service account is accepted" in text) == ("ok", True)


def test_a_deleted_key_is_told(site, said):
    site.provider.add_service_account()
    level, text, hint = said("domain")
    assert (level, "invalid_grant_signature" in text, "new key" in hint) == ("error", True, True)


def test_a_delegation_that_is_missing_is_told(site, said):
    site.provider.add_service_account(scopes=[], keep_keys=True)
    level, text, hint = said("domain")
    assert (level, "unauthorized_client" in text, "delegation" in hint) == ("error", True, True)
