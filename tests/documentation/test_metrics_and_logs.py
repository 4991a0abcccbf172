"""docs/metrics-and-logs.md lists what the code measures and logs; tests/documentation/tables.py makes its tables."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth import tasks
from mail_oauth.exceptions import MailboxError
from mail_oauth.metrics import INSTRUMENTS
from tests.documentation.logs import LEVELS, records
from tests.documentation.tables import METRICS

EVERY_RECORD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@pytest.mark.parametrize("record", records(), ids=lambda record: record.place)
def test_every_record_names_its_action(record):
    assert record.actions, f"{record.place} has no action in its extra"
    assert set(record.levels) <= set(LEVELS)
    assert not record.keys & EVERY_RECORD, "logging refuses to overwrite what each record has"


def test_names_of_instruments_are_unique():
    names = [each.name for each in INSTRUMENTS]
    assert len(names) == len(set(names))
    assert all(name.startswith("mail_oauth.") for name in names)


@pytest.mark.django_db
def test_records_carry_the_keys_that_are_listed(connect, provider, caplog, user, browser_of):
    """What really is logged on a walk through much of the app, against the list made from its code."""
    listed: dict[str, set[str]] = {}
    for each in records():
        for action in each.actions:
            listed.setdefault(action, set()).update(each.keys)
    with caplog.at_level(logging.DEBUG, logger="mail_oauth"):
        good, bad = connect(refresh_at=timezone.now() - timedelta(minutes=1)), connect("google")
        provider.revoke(bad.email)
        with pytest.raises(MailboxError):
            bad.refresh_now()
        for task in (tasks.refresh_batch, tasks.reconcile_cache, tasks.take_survey, tasks.rotate_keys):
            task()
        browser_of(user).connect()
        good.refresh_now()
    written = [record for record in caplog.records if record.name.startswith("mail_oauth")]
    assert {vars(record)["action"] for record in written} >= {"refresh", "sweep", "reconcile", "survey", "connect"}
    for record in written:
        keys = set(vars(record)) - EVERY_RECORD
        assert keys <= listed[vars(record)["action"]], record.getMessage()
        for key in keys:
            assert good.email not in str(vars(record)[key])
            assert f"`{key}`" in METRICS.read_text()
