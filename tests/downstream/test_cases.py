"""The mixin for Django's `TestCase`: a class has a provider from its beginning, and each test finds it as it was then."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import TestCase

from mail_oauth.testing.cases import FakeProviderMixin
from mail_oauth.testing.factories import make_mailbox

PROVIDERS = {"sso": {"CLASS": "oidc", "CLIENT_ID": "the-sites-own", "ISSUER": "https://sso.your.site"}}


class TestOfAClass(FakeProviderMixin, TestCase):
    """A class has its mailboxes once, and each of its tests spends their tokens anew."""

    mail_oauth_changes = {"PROVIDERS": PROVIDERS, "REFRESH_MARGIN": 77}

    @classmethod
    def setUpTestData(cls) -> None:
        """Before any test."""
        cls.mailbox = make_mailbox(cls.fake_provider, alias="sso", email="ada@example.com", seconds_left=-1)

    def test_that_spends_a_token(self) -> None:
        token = self.mailbox.get_access_token()
        assert self.fake_provider.is_valid_access_token(token.reveal())
        assert settings.MAIL_OAUTH["REFRESH_MARGIN"] == 77

    test_that_spends_it_again = test_that_spends_a_token


class TestWithoutSuper(FakeProviderMixin, TestCase):
    """A `setUp` that forgets the mixin's."""

    def setUp(self) -> None:
        """Not the mixin's."""

    def test_is_led_to_the_fake_nevertheless(self) -> None:
        assert self.connect_mailbox(alias="microsoft", seconds_left=-1).get_access_token()


def test_the_mixin_says_where_it_has_to_stand():
    with pytest.raises(TypeError, match=r"class Wrong\(FakeProviderMixin, TestCase\)"):
        type("Wrong", (TestCase, FakeProviderMixin), {})
