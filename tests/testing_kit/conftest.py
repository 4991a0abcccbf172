"""A running provider for each test, and a client that talks to it as an application would."""

import logging

import pytest
import requests
from requests.adapters import HTTPAdapter

from mail_oauth.testing.provider import FakeProvider
from tests.testing_kit.client import Application


@pytest.fixture
def provider(caplog):
    """A fresh provider; whatever goes wrong inside it fails the test."""
    with FakeProvider() as running:
        running.add_account("ada@example.com", name="Ada Lovelace")
        yield running
    ours = [
        each for each in caplog.records if each.name.startswith("mail_oauth") and each.levelno >= logging.ERROR
    ]
    assert not ours, [each.getMessage() for each in ours]


@pytest.fixture(scope="session")
def http():
    """One session for all tests: each new one costs the parsing of the whole certificate bundle."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_maxsize=64))
        session.request = _with_timeout(session.request)
        yield session


def _with_timeout(request):
    return lambda *args, **options: request(*args, **{"timeout": 10, **options})


@pytest.fixture
def application(provider, http):
    return Application(provider, http)
