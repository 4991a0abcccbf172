"""Fixtures for pytest, which finds this module by its entry point in every project that has this app.

Until one of its fixtures is used it imports nothing of Django and nothing of this app: pytest loads it before the
settings are known.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials
    from mail_oauth.testing.clock import MovableClock
    from mail_oauth.testing.provider import FakeProvider


MAILBOXES = {"connected_mailbox", "app_mailbox"}
"""Fixtures that bring the database with them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that such a fixture brings the database to.

    pytest-django makes test databases for the tests of which it knows that before any runs: without one of its own, a
    test that asked later would find itself in the site's database.
    """
    if not config.pluginmanager.has_plugin("django"):
        return
    for item in items:
        if MAILBOXES & set(getattr(item, "fixturenames", ())) and item.get_closest_marker("django_db") is None:
            item.add_marker(pytest.mark.django_db)


@pytest.fixture(scope="session")
def fake_provider_server() -> Iterator["FakeProvider"]:
    """The running provider of the whole run, for fixtures of a wider scope; tests use `fake_provider`."""
    from mail_oauth.testing.provider import FakeProvider  # noqa: PLC0415  # see above

    with FakeProvider() as running:
        yield running


@pytest.fixture
def fake_provider(
    request: pytest.FixtureRequest, fake_provider_server: "FakeProvider"
) -> Iterator["FakeProvider"]:
    """The fake provider, with every provider of the settings led to it for this test."""
    from mail_oauth.testing.configuring import clean_slate, configured, site_settings  # noqa: PLC0415  # see above

    if request.config.pluginmanager.has_plugin("django"):
        # By pytest-django's own fixture: settings that are changed in two ways would not be undone in order.
        with clean_slate(fake_provider_server):
            request.getfixturevalue("settings").MAIL_OAUTH = site_settings(fake_provider_server)
            yield fake_provider_server
    else:
        with configured(fake_provider_server):
            yield fake_provider_server


@pytest.fixture
def connect_mailbox(fake_provider: "FakeProvider") -> Callable[..., "MailCredentials"]:
    """Make connected mailboxes: `connect_mailbox(user=…, alias=…, email=…, seconds_left=…)`; see `make_mailbox`.

    At an alias with ``"ACCESS": "app"`` they have no user. The test must have the database (`db`, or the mark `django_db`).
    """

    def make(**how: Any) -> "MailCredentials":
        from mail_oauth.testing.factories import make_mailbox  # noqa: PLC0415  # see above

        return make_mailbox(fake_provider, **how)

    return make


@pytest.fixture
def connected_mailbox(request: pytest.FixtureRequest) -> "MailCredentials":
    """A mailbox of a new user at the first provider of the settings that users connect.

    With pytest-django, the database is there too.
    """
    return _made(request)


@pytest.fixture
def app_mailbox(request: pytest.FixtureRequest) -> "MailCredentials":
    """A mailbox without a user, at the first alias with ``"ACCESS": "app"``. With pytest-django, the database is there too."""
    return _made(request, app=True)


def _made(request: pytest.FixtureRequest, *, app: bool = False) -> "MailCredentials":
    # First: the alias is looked for in what it makes the settings.
    make = request.getfixturevalue("connect_mailbox")
    from mail_oauth.testing.factories import first_alias  # noqa: PLC0415  # see above

    mailbox: MailCredentials = make(alias=first_alias(app=app))
    return mailbox


@pytest.fixture
def mail_oauth_clock() -> Iterator["MovableClock"]:
    """A clock to set forward: `mail_oauth_clock.advance(seconds)`. Needs time-machine."""
    from mail_oauth.testing.clock import moved_clock  # noqa: PLC0415  # see above

    with moved_clock() as clock:
        yield clock


@pytest.fixture
def assert_no_secrets(fake_provider_server: "FakeProvider") -> Callable[..., None]:
    """Fail where what was written holds a secret of the provider: `assert_no_secrets(response, caplog.records)`."""

    def check(*written: object) -> None:
        from mail_oauth.testing.secrecy import assert_no_secrets as judge  # noqa: PLC0415  # see above

        judge(fake_provider_server, *written)

    return check
