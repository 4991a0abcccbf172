"""What is left of erased mailboxes is there to be read, by whoever may, and for nothing else."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.models import ErasedEvent
from mail_oauth.moving.erasing import erase

ERASED = "/admin/mail_oauth/erasedevent/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def left(provider) -> list[ErasedEvent]:
    """One of today, and one of long ago at a provider that is no more."""
    today = timezone.now().date()
    return [
        ErasedEvent.objects.create(happened_on=today, provider="google", kind="refresh_failed", reason="http_503"),
        ErasedEvent.objects.create(happened_on=date(2024, 2, 29), provider="former", kind="of_a_later_release"),
    ]


def shown(response) -> list[str]:
    return [event.kind for event in response.context["cl"].result_list]


def test_what_an_erasure_leaves_is_shown_and_names_nobody(connect, root):
    mailbox = connect(email="ada@example.com")
    mailbox.events.create(kind="refresh_failed", reason="http_503")
    erase(mailbox.user)
    text = root.get(ERASED).content.decode()
    assert "http_503" in text
    assert "ada@example.com" not in text
    assert mailbox.user.username not in text


def test_each_is_in_words_the_newest_first(root, left):
    response = root.get(ERASED)
    assert shown(response) == ["refresh_failed", "of_a_later_release"]
    text = " ".join(response.content.decode().split())
    for words in ("Google", "refresh failed", "http_503", "2024-02-29", "former", "of_a_later_release"):
        assert f">{words}</td>" in text or f">{words}</th>" in text, words
    assert "without a user, an address or a time of day" in text


def test_they_are_filtered_by_kind_provider_and_day(root, left):
    assert shown(root.get(ERASED, {"kind": "refresh_failed"})) == ["refresh_failed"]
    assert shown(root.get(ERASED, {"provider": "google"})) == ["refresh_failed"]
    assert shown(root.get(ERASED, {"provider": "-"})) == ["of_a_later_release"]
    since = timezone.now().date() - timedelta(days=7)
    assert shown(root.get(ERASED, {"happened_on__gte": since.isoformat()})) == ["refresh_failed"]


def test_the_list_costs_the_same_for_many(root, left, counting):
    root.get(ERASED)
    with CaptureQueriesContext(connection) as few:
        root.get(ERASED)
    ErasedEvent.objects.bulk_create(
        ErasedEvent(happened_on=date(2025, 1, 1), provider="google", kind="refreshed") for _ in range(90)
    )
    with CaptureQueriesContext(connection) as many:
        assert len(shown(root.get(ERASED))) == 92
    assert len(many) == len(few) == 3 + counting


def test_nobody_adds_changes_or_deletes_one(root, left):
    event = f"{ERASED}{left[0].pk}/"
    page = root.get(f"{event}change/").content.decode()
    assert "deletelink" not in page
    assert 'name="reason"' not in page
    for address in (f"{ERASED}add/", f"{event}change/", f"{event}delete/"):
        assert root.post(address, {"reason": "forged", "post": "yes"}).status_code == 403, address
    root.post(ERASED, {"action": "delete_selected", "_selected_action": [left[0].pk], "post": "yes"})
    assert set(ErasedEvent.objects.values_list("reason", flat=True)) == {"http_503", ""}


def test_who_may_look_finds_it_in_the_index_and_nobody_else(left, staff, signed_in):
    admitted = signed_in(staff("view", model="erasedevent"))
    assert f'href="{ERASED}"' in admitted.get("/admin/").content.decode()
    assert f'href="{ERASED}"' in admitted.get("/admin/mail_oauth/").content.decode()
    assert admitted.get(ERASED).status_code == 200
    for other in (staff("view"), staff("add", "delete", model="erasedevent")):
        browser = signed_in(other)
        assert f'href="{ERASED}"' not in browser.get("/admin/").content.decode()
        assert browser.get(ERASED).status_code == 403
