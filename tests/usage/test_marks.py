"""A mailbox's use is marked in the shared cache, seldom, and not while its reader waits."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from celery.signals import worker_process_shutdown
from django.core.cache import cache
from django.utils import timezone

from mail_oauth.cache import cache_key, write_all
from mail_oauth.exceptions import ReauthRequired
from mail_oauth.models import MailCredentials
from mail_oauth.usage import KEPT_SECONDS, Uses, marks
from tests.concurrency import together

SOON = timedelta(seconds=30)


def read(mailbox) -> None:
    MailCredentials.objects.get_access_token(mailbox.pk)


@pytest.mark.django_db
class TestARead:
    def test_is_marked_a_little_later(self, threads_cache, connect, uses, mark_of):
        mailbox, unused = connect(), connect()
        read(mailbox)
        assert mark_of(mailbox) is None
        uses.finish()
        assert mark_of(mailbox).isdigit()
        found = marks([mailbox.pk, unused.pk, uuid4()])
        assert list(found) == [mailbox.pk]
        assert timezone.now() - SOON < found[mailbox.pk] <= timezone.now()
        assert found[mailbox.pk].tzinfo is UTC

    def test_from_the_cache_is_marked_too(self, locmem_cache, connect, uses):
        mailbox = connect()
        read(mailbox)
        uses.clear()
        read(mailbox)
        assert uses._new.keys() == {mailbox.pk}

    def test_is_noted_once_in_ten_minutes(self, locmem_cache, connect, uses, mark_of, monkeypatch):
        mailbox = connect()
        read(mailbox)
        uses.finish()
        cache.delete(f"mail_oauth:used:{mailbox.pk}")
        read(mailbox)
        assert not uses._new
        later = time.monotonic() + 601
        monkeypatch.setattr(time, "monotonic", lambda: later)
        uses.note(mailbox.pk)
        assert uses._new.keys() == {mailbox.pk}

    def test_of_a_near_copy_is_not_noted(self, locmem_cache, connect, uses, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 60}
        mailbox = connect()
        read(mailbox)
        uses.clear()
        read(mailbox)
        assert not uses._noted

    def test_that_fails_is_a_use_as_well(self, locmem_cache, connect, uses, provider):
        mailbox = connect(seconds_left=-10)
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            read(mailbox)
        assert uses._new.keys() == {mailbox.pk}

    def test_of_what_does_not_exist_is_none(self, locmem_cache, connect, uses):
        with pytest.raises(MailCredentials.DoesNotExist):
            MailCredentials.objects.get_access_token(uuid4())
        assert not uses._noted

    def test_and_a_rejection_are_one_use(self, locmem_cache, connect, uses):
        mailbox = connect()
        mailbox.report_rejected(mailbox.get_access_token())
        assert uses._new.keys() == {mailbox.pk}

    def test_is_marked_under_its_tenants_key(self, locmem_cache, connect, uses, settings):
        tenants = {**settings.CACHES["default"], "KEY_FUNCTION": f"{__name__}.key_of_thread"}
        settings.CACHES = {**settings.CACHES, "default": tenants}
        mailbox = connect()
        read(mailbox)
        assert cache.get(f"mail_oauth:used:{mailbox.pk}").isdigit(), "at once: no other thread knows the key"


def key_of_thread(key: str, prefix: str, version: int) -> str:
    """Stand for a KEY_FUNCTION that names the tenant whom this thread serves."""
    return f"{threading.get_ident()}:{key}"


class TestWhatIsNew:
    def test_is_written_by_a_thread_every_few_seconds(self, locmem_cache, uses, monkeypatch):
        monkeypatch.setattr("mail_oauth.usage.WRITE_SECONDS", 0.05)
        for _ in range(3):
            pk = uuid4()
            uses.note(pk)
            give_up_at = time.monotonic() + 10
            while not marks([pk]) and time.monotonic() < give_up_at:
                time.sleep(0.02)
            assert marks([pk])
        assert sum(thread.name == "mail_oauth uses" for thread in threading.enumerate()) <= 2, (
            "the app's own, perhaps"
        )

    def test_ends_its_thread_when_there_is_no_more(self, locmem_cache, monkeypatch):
        monkeypatch.setattr("mail_oauth.usage.WRITE_SECONDS", 0.05)
        monkeypatch.setattr("mail_oauth.usage.IDLE_ROUNDS", 2)
        uses = Uses()
        uses.note(uuid4())
        writer = uses._writer
        writer.join(10)
        assert not writer.is_alive()
        uses.note(pk := uuid4())
        uses.finish()
        assert marks([pk])

    def test_is_written_in_one_round_trip(self, redis_cache, uses, monkeypatch):
        pks = [uuid4() for _ in range(500)]
        for pk in pks:
            uses.note(pk)
        with redis_cache.client() as client:
            uses.finish()
            assert set(marks(pks)) == set(pks)
            keys = [str(cache.make_key(cache_key(pk, "used"))) for pk in pks]
            assert all(KEPT_SECONDS - 60 < client.ttl(key) <= KEPT_SECONDS for key in keys[:5])

    def test_of_more_than_one_batch_is_all_written(self, locmem_cache, uses, settings):
        room = {**settings.CACHES["default"], "OPTIONS": {"MAX_ENTRIES": 5000}}
        settings.CACHES = {**settings.CACHES, "default": room}
        pks = [uuid4() for _ in range(2500)]
        for pk in pks:
            uses.note(pk)
        uses.finish()
        assert set(marks(pks)) == set(pks)

    def test_is_lost_without_a_word_where_the_cache_fails(self, redis_cache, uses, caplog):
        redis_cache.kill()
        with caplog.at_level(logging.INFO):
            uses.note(uuid4())
            uses.finish(20)
        assert not uses._new
        assert not caplog.records, "who reads tokens tells of it"

    def test_is_bounded(self, locmem_cache, uses, monkeypatch):
        monkeypatch.setattr("mail_oauth.usage.NOTED_LIMIT", 10)
        pks = [uuid4() for _ in range(30)]
        for pk in pks:
            uses.note(pk)
        assert list(uses._noted) == [pk.int for pk in pks[-10:]]
        assert len(uses._new) == 10

    def test_is_lost_where_no_thread_can_write_it(self, locmem_cache, monkeypatch):
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        uses = Uses()
        uses.note(uuid4())
        uses.finish()
        assert not uses._new

    def test_of_many_threads_is_all_written(self, locmem_cache, uses, settings):
        room = {**settings.CACHES["default"], "OPTIONS": {"MAX_ENTRIES": 5000}}
        settings.CACHES = {**settings.CACHES, "default": room}
        pks = [uuid4() for _ in range(1000)]
        together(8, lambda: [uses.note(pk) for pk in pks])
        uses.finish(20)
        assert set(marks(pks)) == set(pks)


class TestAMark:
    @pytest.mark.parametrize(
        "value", [b"", b"x", b"-5", b"1.5", b"9" * 40, b"\x80\x04\x95", "5", 5, None], ids=repr
    )
    def test_that_others_wrote_is_none(self, locmem_cache, value):
        pk = uuid4()
        cache.set(cache_key(pk, "used"), value)
        assert marks([pk]) == {}

    def test_of_a_clock_that_is_ahead_is_now(self, any_cache):
        pk = uuid4()
        write_all({cache_key(pk, "used"): b"99999999999"}, 60)
        assert marks([pk])[pk] <= datetime.now(UTC)

    def test_of_none_is_none(self, any_cache):
        assert marks([]) == {}


PROGRAM = """
import os, sys
from django.conf import settings
settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": sys.argv[1]}}
from uuid import UUID
from mail_oauth.usage import uses
uses.note(UUID(int=1))
child = os.fork()
if not child:
    ok = not uses._noted and not uses._new and uses._writer is None
    uses.note(UUID(int=2))
    uses.finish()
    os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_none_is_lost_when_a_process_or_its_child_ends(file_cache, tmp_path):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    options = ["-W", "ignore::DeprecationWarning", "-X", "dev"]
    command = [sys.executable, *options, "-c", PROGRAM, tmp_path / "cache"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(marks([UUID(int=1), UUID(int=2), UUID(int=3)])) == {UUID(int=1), UUID(int=2)}


def test_none_is_lost_when_a_child_of_a_celery_pool_ends(locmem_cache, uses, monkeypatch):
    monkeypatch.setattr("mail_oauth.tasks.uses", uses)
    uses.note(pk := uuid4())
    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    assert marks([pk])
