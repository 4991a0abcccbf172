"""Lists of many mailboxes answer without counting them; of few they say how many there are."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from mail_oauth.admin import counting
from mail_oauth.admin.counting import EstimatingPaginator
from mail_oauth.models import MailCredentials
from tests.admin.conftest import CHANGELIST

pytestmark = pytest.mark.django_db

postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="elsewhere every count is exact")


def pages_of(rows) -> EstimatingPaginator:
    return EstimatingPaginator(rows, 50)


@pytest.fixture
def many(connect):
    for _ in range(3):
        connect()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE mail_oauth_mailcredentials")


@pytest.fixture
def dear(monkeypatch):
    """Every table is large."""
    monkeypatch.setattr(counting, "CHEAP", 0)


def test_a_few_are_counted(many):
    pages = pages_of(MailCredentials.objects.order_by("email"))
    assert (pages.count, pages.estimated) == (3, False)


def test_none_are_none_though_nobody_could_be_asked(many):
    rows = MailCredentials.objects.order_by("email")
    assert pages_of(rows.none()).count == 0
    assert pages_of(rows.filter(generation__lt=-1)).count == 0


@postgres
class TestMany:
    def test_are_estimated(self, many, dear, monkeypatch):
        monkeypatch.setattr(counting, "EXACT_UPTO", 2)
        pages = pages_of(MailCredentials.objects.order_by("email"))
        assert (pages.count, pages.estimated) == (3, True)

    def test_are_counted_if_that_takes_no_time(self, many, dear):
        pages = pages_of(MailCredentials.objects.filter(status="connected").order_by("email"))
        assert (pages.count, pages.estimated) == (3, False)

    def test_are_estimated_if_it_does(self, many, dear, monkeypatch):
        monkeypatch.setattr(counting, "COUNT_MILLISECONDS", 1)
        slow = MailCredentials.objects.order_by("email").extra(where=["pg_sleep(0.2) IS NOT NULL"])
        pages = pages_of(slow)
        assert pages.count > 0
        assert pages.estimated

    def test_leave_the_callers_transaction_as_it_was(self, many, dear):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 12345")
            assert pages_of(MailCredentials.objects.order_by("email")).count == 3
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("12345ms",)

    def test_the_list_says_that_it_is_an_estimate(self, root, many, dear, monkeypatch):
        monkeypatch.setattr(counting, "EXACT_UPTO", 2)
        monkeypatch.setattr("mail_oauth.admin.mailboxes.MailCredentialsAdmin.list_per_page", 2)
        assert "is an estimate" in root.get(CHANGELIST).content.decode()

    def test_a_first_page_that_is_not_full_is_all(self, root, many, dear, monkeypatch):
        monkeypatch.setattr(counting, "EXACT_UPTO", 2)
        response = root.get(CHANGELIST)
        assert "is an estimate" not in response.content.decode()
        assert response.context["cl"].result_count == 3


def test_a_whole_address_is_found_by_the_index_and_others_that_its_user_opens(root, connect, django_user_model):
    owner, other = (django_user_model.objects.create(username=name) for name in ("ada", "eve"))
    connect(email="Ada@example.com", owner=owner)
    shared = connect(email="info@example.com", owner=owner)
    connect(email="xada@example.com", owner=other)
    MailCredentials.objects.filter(pk=shared.pk).update(sign_in_address="Ada@example.com")

    def shown(term: str) -> set[str]:
        return {row.email for row in root.get(CHANGELIST, {"q": term}).context["cl"].result_list}

    assert shown("Ada@example.com") == {"Ada@example.com", "info@example.com"}
    assert shown(" info@EXAMPLE.com ") == {"info@example.com"}
    assert shown("da@example.co") == {"Ada@example.com", "xada@example.com", "info@example.com"}, "a part of it"
    assert shown("nobody@example.com") == set()
    assert shown("eve example") == {"xada@example.com"}, "every word"
    assert shown('"xada@"') == {"xada@example.com"}


def test_users_in_masses_are_left_to_the_database(root, connect, django_user_model, monkeypatch):
    monkeypatch.setattr("mail_oauth.admin.search.USERS_NAMED", 1)
    for number in range(3):
        connect(owner=django_user_model.objects.create(username=f"countess{number}"))
    assert root.get(CHANGELIST, {"q": "countess"}).context["cl"].result_count == 3
