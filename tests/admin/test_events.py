"""History is there to be read, and for nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import CredentialEvent
from tests.admin.conftest import EVENTS, page_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def history(connect) -> list[CredentialEvent]:
    """Two mailboxes with an event each, one of them old."""
    ada, eve = connect(email="ada@example.com"), connect(email="eve@example.com")
    long_ago = timezone.now() - timedelta(days=40)
    return [
        CredentialEvent.objects.create(credentials=ada, kind=EventKind.CONNECTED, actor=ada.user),
        CredentialEvent.objects.create(
            credentials=eve, kind=EventKind.REFRESH_FAILED, reason="http_503", created_at=long_ago
        ),
    ]


def shown(response) -> list[str]:
    return [event.credentials.email for event in response.context["cl"].result_list]


def test_the_list_shows_the_newest_first_and_leads_to_the_mailbox(root, history):
    response = root.get(EVENTS)
    assert shown(response) == ["ada@example.com", "eve@example.com"]
    text = response.content.decode()
    assert "http_503" in text
    assert page_of(history[0].credentials) in text


def test_it_is_searched_by_address_and_filtered_by_kind_and_date(root, history):
    assert shown(root.get(EVENTS, {"q": "eve@"})) == ["eve@example.com"]
    assert shown(root.get(EVENTS, {"kind__exact": "connected"})) == ["ada@example.com"]
    since = (timezone.now() - timedelta(days=7)).isoformat()
    assert shown(root.get(EVENTS, {"created_at__gte": since})) == ["ada@example.com"]


def test_the_list_costs_the_same_for_many_events_and_fetches_no_token(root, history, counting):
    root.get(EVENTS)
    with CaptureQueriesContext(connection) as few:
        root.get(EVENTS)
    CredentialEvent.objects.bulk_create(
        CredentialEvent(credentials=history[0].credentials, kind=EventKind.REFRESHED, generation=number)
        for number in range(30)
    )
    with CaptureQueriesContext(connection) as many:
        root.get(EVENTS)
    assert len(many) == len(few) == 3 + counting
    assert not [query for query in many.captured_queries if "access_token" in query["sql"]]


def test_nobody_adds_changes_or_deletes_an_event(root, history):
    event = f"{EVENTS}{history[0].pk}/"
    assert root.get(f"{event}change/").status_code == 200
    assert "deletelink" not in root.get(f"{event}change/").content.decode()
    for address in (f"{EVENTS}add/", f"{event}change/", f"{event}delete/"):
        assert root.post(address, {"reason": "forged", "post": "yes"}).status_code == 403, address
    form = {"action": "delete_selected", "_selected_action": [history[0].pk], "post": "yes"}
    root.post(EVENTS, form)
    assert CredentialEvent.objects.count() == 2
    assert not CredentialEvent.objects.filter(reason="forged").exists()


def test_who_may_only_look_sees_the_list(history, staff, signed_in):
    assert signed_in(staff("view", model="credentialevent")).get(EVENTS).status_code == 200
    assert signed_in(staff("view")).get(EVENTS).status_code == 403
