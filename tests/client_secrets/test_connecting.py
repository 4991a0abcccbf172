"""A user connects and disconnects while the client's secret is changed, and notices nothing."""

from __future__ import annotations

import pytest
from django.urls import reverse

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Revocation
from tests.client_secrets.conftest import NEW, OLD, OTHER

pytestmark = pytest.mark.django_db

REFUSED = "invalid_client"


class TestConnecting:
    @pytest.mark.parametrize("alias", ["microsoft", "google", "keycloak"])
    def test_redeems_the_code_by_the_secret_that_is_right(self, rotation, surfer, alias):
        """A refused client has not spent it."""
        rotation.here(NEW, OLD)
        rotation.there(OLD)
        surfer.connect(alias)
        assert rotation.tries() == [REFUSED, None]
        assert MailCredentials.objects.get().status == Status.CONNECTED
        assert MailCredentials.objects.get().refresh_now()

    def test_spends_no_code_twice(self, rotation, surfer):
        """Where nobody knows what became of a code, it is not sent again by another secret."""
        rotation.here(NEW, OLD)
        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        rotation.there(NEW)
        surfer.follow(callback)
        assert rotation.tries() == [None]

    def test_fails_where_all_are_refused(self, rotation, surfer):
        rotation.here(NEW, OLD)
        rotation.there(OTHER)
        reply = surfer.connect("keycloak")
        assert reply["Location"] == reverse("mail_oauth:refused", args=["keycloak", "misconfigured"])
        assert rotation.tries() == [REFUSED] * 3
        assert not MailCredentials.objects.exists()


class TestDisconnecting:
    @pytest.mark.parametrize("alias", ["keycloak", "plain"])
    def test_revokes_by_the_secret_that_is_right(self, rotation, connect, provider, alias):
        rotation.here(NEW, OLD)
        row = connect(alias)
        rotation.there(OLD)
        assert disconnect(row) is Revocation.REVOKED
        assert rotation.tries("revoke") == [REFUSED, None]
        assert provider.living_grants(row.email) == 0

    def test_fails_where_all_are_refused(self, rotation, connect):
        rotation.here(NEW, OLD)
        row = connect("keycloak")
        rotation.there(OTHER)
        assert disconnect(row) is Revocation.FAILED
