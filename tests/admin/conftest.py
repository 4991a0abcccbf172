from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from mail_oauth.models import MailCredentials

_numbers = itertools.count(1)

CHANGELIST = "/admin/mail_oauth/mailcredentials/"
EVENTS = "/admin/mail_oauth/credentialevent/"


def page_of(mailbox: MailCredentials, tail: str = "change/") -> str:
    """The address of a mailbox's page in the admin."""
    return f"{CHANGELIST}{mailbox.pk}/{tail}"


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many queries it takes to count a small list: PostgreSQL is asked first what that would cost.

    A table is dearer than it looks where thousands of tests before have left their dead rows in it: no matter here.
    """
    monkeypatch.setattr("mail_oauth.admin.counting.CHEAP", math.inf)
    return 2 if connection.vendor == "postgresql" else 1


@pytest.fixture
def staff(db: None) -> Callable[..., User]:
    """Make somebody of the staff with the named permissions: `staff("view", "change")`."""

    def make(*names: str, model: str = "mailcredentials") -> User:
        from django.contrib.auth.models import Permission, User

        person = User.objects.create_user(f"staff{next(_numbers)}", is_staff=True)
        codenames = [f"{name}_{model}" for name in names]
        person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return person

    return make


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """A browser in which somebody is signed in; a forged request fails in it as it would in a real one."""

    def make(person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    return make


@pytest.fixture
def superuser(db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_superuser("root")


@pytest.fixture
def root(superuser: User, signed_in: Callable[[User], Client]) -> Client:
    """A superuser's browser."""
    return signed_in(superuser)
