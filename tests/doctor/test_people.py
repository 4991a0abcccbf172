"""The doctor sees whether who is to be told of a mailbox is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mail_oauth.notices.run import send_notices
from tests.losses.passing import pass_time
from tests.notifications.conftest import AFTER, fall, mail_by, notify, owner

__all__ = ["fall", "mail_by", "notify", "owner"]

pytestmark = pytest.mark.django_db


def test_it_says_that_nobody_is_mailed(doctor):
    assert doctor().of("people.notices")["level"] == "skipped"


def test_who_waits_longer_than_beat_does_is_found(doctor, notify, connect, owner, fall):
    fall(connect(owner=owner))
    assert doctor().of("people.notices")["level"] == "ok"
    pass_time(AFTER + timedelta(minutes=16))
    found = doctor().of("people.notices")
    assert (found["level"], found["what"]) == ("warning", "Users who should have been mailed: 1.")
    send_notices()
    assert doctor().of("people.notices")["level"] == "ok"


def test_so_is_mail_that_cannot_be_sent(doctor, notify, connect, owner, fall, mail_by):
    fall(connect(owner=owner))
    pass_time(AFTER)
    mail_by("nowhere.Backend")
    send_notices()
    found = doctor().of("people.notices")
    assert (found["level"], found["what"]) == ("warning", "Users whose mail cannot be sent: 1.")
    assert "sendtestemail" in found["hint"]
