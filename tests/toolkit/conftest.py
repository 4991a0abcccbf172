from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from mail_oauth.models import MailCredentials
from tests.conftest import started
from tests.toolkit.provider.people import CLIENT_ID, CLIENT_SECRET
from tests.toolkit.server import Toolkit
from tests.toolkit.visitor import Visitor

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django import Settings


@pytest.fixture(scope="session")
def toolkit_server() -> Iterator[Toolkit]:
    yield from started(Toolkit)


@pytest.fixture
def toolkit(toolkit_server: Toolkit, configure: Callable[..., None]) -> Toolkit:
    """The running provider, with nothing issued yet, known to our site as `toolkit`."""
    toolkit_server.start()
    toolkit_server.forget()
    configure()
    return toolkit_server


@pytest.fixture
def configure(toolkit_server: Toolkit, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the settings: no more than a client and the issuer, unless options are added."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")

    def write(**options: object) -> None:
        client = {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
        provider = {"CLASS": "oidc", "NAME": "Toolkit", **client, "ISSUER": toolkit_server.url, **options}
        settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["127.0.0.1"], "PROVIDERS": {"toolkit": provider}}

    return write


@pytest.fixture
def visitor(toolkit: Toolkit, user: User) -> Visitor:
    """The browser of `user`."""
    client = Client()
    client.force_login(user)
    return Visitor(client, user)


@pytest.fixture
def mailbox(visitor: Visitor) -> MailCredentials:
    """A mailbox that was connected in a browser."""
    visitor.connect()
    return MailCredentials.objects.get()


@pytest.fixture
def expired(mailbox: MailCredentials, toolkit: Toolkit) -> MailCredentials:
    """The same a while later: its access token has expired, here and at the provider."""
    toolkit.let_access_tokens_expire()
    cache.clear()
    ago = timezone.now() - timedelta(seconds=1)
    times = {"token_issued_at": ago - timedelta(seconds=60), "token_expiry": ago, "refresh_at": ago}
    MailCredentials.objects.filter(pk=mailbox.pk).update(**times)
    return MailCredentials.objects.get()
