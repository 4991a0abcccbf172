"""The list shows every mailbox's state at a constant cost, and never touches a token."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.admin.conftest import CHANGELIST, page_of

pytestmark = pytest.mark.django_db


def shown(response) -> set[str]:
    """The mailbox addresses in the list."""
    return {row.email for row in response.context["cl"].result_list}


def test_a_row_says_whose_where_and_how(root, connect):
    mailbox = connect(
        "keycloak", seconds_left=42 * 60 + 30, last_refreshed_at=timezone.now() - timedelta(minutes=12)
    )
    MailCredentials.objects.filter(pk=mailbox.pk).update(refresh_failures=3, last_refresh_error="http_503")
    text = root.get(CHANGELIST).content.decode()
    for words in (mailbox.email, mailbox.user.username, "Keycloak", "connected, refresh failing", "in 42 min"):
        assert words in text
    assert "12 min ago" in text
    assert "3 (http_503)" in text
    assert page_of(mailbox) in text


def test_the_number_of_queries_does_not_grow_with_the_rows(root, connect, django_user_model, counting):
    connect()
    root.get(CHANGELIST)
    with CaptureQueriesContext(connection) as few:
        root.get(CHANGELIST)
    for alias in ("google", "keycloak", "plain"):
        connect(alias, owner=django_user_model.objects.create(username=f"owner-{alias}"))
    with CaptureQueriesContext(connection) as many:
        root.get(CHANGELIST)
    assert len(many) == len(few) == 3 + counting  # session, person, rows


def test_no_token_leaves_the_database_for_the_list(root, connect):
    connect()
    with CaptureQueriesContext(connection) as queries:
        root.get(CHANGELIST)
    assert not [query for query in queries.captured_queries if "access_token" in query["sql"]]
    assert not [
        query
        for query in queries.captured_queries
        if "refresh_token" in query["sql"].replace("refresh_token_expires_at", "")
    ]


def test_one_unreadable_row_does_not_break_the_list(root, connect, settings):
    good, altered = connect(), connect()
    with connection.cursor() as cursor:
        key = MailCredentials._meta.pk.get_db_prep_value(altered.pk, connection)
        sql = "UPDATE mail_oauth_mailcredentials SET access_token=%s, refresh_token=%s WHERE id=%s"
        cursor.execute(sql, [b"\xff\x00garbage", b"mo1:x:y", key])
    assert shown(root.get(CHANGELIST)) == {good.email, altered.email}
    settings.FERNET_KEYS = ["another key"]
    assert root.get(CHANGELIST).status_code == 200


def test_a_mailbox_is_found_by_address_sign_in_address_user_and_uuid(root, connect, django_user_model):
    owner = django_user_model.objects.create(username="countess")
    wanted = connect(email="ada@example.com", owner=owner)
    MailCredentials.objects.filter(pk=wanted.pk).update(sign_in_address="a.lovelace@corp.example")
    connect(email="eve@example.com")
    for term in ("ada@", "lovelace", "countess", str(wanted.pk), wanted.pk.hex):
        assert shown(root.get(CHANGELIST, {"q": term})) == {"ada@example.com"}, term
    assert shown(root.get(CHANGELIST, {"q": "nobody"})) == set()


def test_filters_part_the_list_without_queries_of_their_own(root, connect, counting):
    failing = connect("google", email="failing@example.com", refresh_failures=2)
    off = connect("microsoft", email="off@example.com", use_oauth=False)
    lost = connect("microsoft", email="lost@example.com", status=Status.NEEDS_REAUTH)
    gone = connect("plain", email="gone@example.com")
    MailCredentials.objects.filter(pk=gone.pk).update(provider="former")
    for query, expected in (
        ({"failing": "yes"}, {failing.email}),
        ({"failing": "no"}, {off.email, lost.email, gone.email}),
        ({"use_oauth__exact": "0"}, {off.email}),
        ({"status__exact": "needs_reauth"}, {lost.email}),
        ({"provider": "microsoft"}, {off.email, lost.email}),
        ({"provider": "-"}, {gone.email}),
    ):
        with CaptureQueriesContext(connection) as queries:
            response = root.get(CHANGELIST, query)
        assert shown(response) == expected, query
        assert len(queries) == 3 + counting, query


def test_a_row_whose_alias_left_the_settings_is_shown_by_its_alias(root, connect, settings):
    connect("google")
    settings.MAIL_OAUTH = {"PROVIDERS": {}}
    assert "google" in root.get(CHANGELIST).content.decode()


def test_a_spoilt_settings_dict_does_not_break_the_list(root, connect, settings):
    connect("google")
    settings.MAIL_OAUTH = {"PROVIDER": {}}
    assert root.get(CHANGELIST).status_code == 200


def test_nobody_adds_a_mailbox_by_hand(root):
    assert root.get(f"{CHANGELIST}add/").status_code == 403
    assert root.post(f"{CHANGELIST}add/", {"email": "forged@example.com"}).status_code == 403
