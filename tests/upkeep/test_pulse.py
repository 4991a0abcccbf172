"""Upkeep notes when it was done; a cache that fails costs a mark, never the work."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mail_oauth import tasks
from mail_oauth.upkeep import pulse

WORKS = ("refresh_due", "refresh_batch", "reconcile_cache", "prune_events")


@pytest.mark.django_db
def test_every_task_leaves_its_mark(any_cache, provider):
    assert pulse.last_beats(WORKS) == dict.fromkeys(WORKS)
    for task in (tasks.refresh_due, tasks.refresh_batch, tasks.reconcile_cache, tasks.prune_events):
        task()
    beats = pulse.last_beats(WORKS)
    assert all(0 <= (timezone.now() - moment).total_seconds() < 60 for moment in beats.values())


def test_a_cache_that_is_away_is_no_fault_of_the_work(redis_cache):
    redis_cache.stop()
    pulse.beat("refresh_due")
    redis_cache.start()
    assert pulse.last_beats(["refresh_due"]) == {"refresh_due": None}


def test_what_another_has_written_there_is_no_mark(redis_cache):
    from mail_oauth.cache import cache_key, write_all

    write_all({cache_key("refresh_due", pulse.RESOURCE): b"yesterday"}, 60)
    assert pulse.last_beats(["refresh_due"]) == {"refresh_due": None}
