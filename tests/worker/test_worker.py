"""A real worker and a real beat keep real mailboxes, with and without servers around them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.models import CredentialEvent
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.provider import FakeProvider
from tests.worker.stack import Monitor, Stack, on_filesystem, on_servers, unwrapped, wait_until

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(300)]

LIFETIME = 90
MAILBOXES = 3
REPLACEMENTS = 2
PATIENCE = REPLACEMENTS * (LIFETIME * 2 / 3 + 10) + 10


@dataclass
class Watched:
    """What was seen of one stack while its tokens were replaced twice."""

    stack: Stack
    samples: list[tuple[str, float, bool]] = field(default_factory=list)
    """Mailbox, seconds that its token had left, whether a mail server would have taken it."""
    messages: bytes = b""
    exit_codes: dict[str, int] = field(default_factory=dict)

    @property
    def emails(self) -> list[str]:
        return [f"{self.stack.name}{number}@example.com" for number in range(MAILBOXES)]

    def look(self) -> bool:
        """Take a sample of each mailbox; whether all were replaced often enough."""
        rows = list(self.stack.rows.all())
        for row in rows:
            token = row.open_access_token()
            valid = self.stack.provider.is_valid_access_token(token.reveal(), row.email)
            self.samples.append((row.email, token.seconds_left(timezone.now()), valid))
        return all(row.generation > REPLACEMENTS for row in rows)


@pytest.fixture(scope="module")
def watched(
    django_db_setup, django_db_blocker, tmp_path_factory, postgres_server, redis_server
) -> Iterator[dict[str, Watched]]:
    """Both stacks, watched side by side until every token was replaced twice, then stopped by SIGTERM."""
    folders = {name: tmp_path_factory.mktemp(name, numbered=False) for name in ("on_files", "on_servers")}
    with django_db_blocker.unblock(), FakeProvider(access_token_seconds=LIFETIME) as provider:
        files = on_filesystem(folders["on_files"], provider)
        servers = on_servers(folders["on_servers"], provider, postgres_server, redis_server)
        try:
            monitor = Monitor(redis_server)
            found = {stack.name: Watched(stack) for stack in (files, servers)}
            # Beat within the worker, and apart from it; the latter one doubled, as by a careless deployment.
            files.start_worker("--beat", f"--schedule={files.folder / 'schedule'}", "--concurrency=2")
            servers.start_worker("--concurrency=2")
            servers.start_beat("beat")
            servers.start_beat("second_beat")
            for each in found.values():
                [each.stack.connect(email) for email in each.emails]
            watch(found)
            for each in found.values():
                each.exit_codes = each.stack.stop()
            found[servers.name].messages = monitor.stop()
            found[files.name].messages = b"\n".join(
                path.read_bytes() for path in files.folder.rglob("*.msg") if path.is_file()
            )
            yield found
        finally:
            monitor.stop()
            files.remove()
            servers.remove()


def watch(found: dict[str, Watched]) -> None:
    """Look twice a second until everything happened, or the time for it is over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        looks = [each.look() for each in found.values()]
        if all(looks):
            return
        time.sleep(0.5)


@pytest.fixture(params=["on_files", "on_servers"])
def kept(request, watched, django_db_blocker) -> Iterator[Watched]:
    with django_db_blocker.unblock():
        yield watched[request.param]


class TestATokenOfNinetySeconds:
    def test_is_replaced_twice_before_it_expires(self, kept):
        rows = {row.email: row for row in kept.stack.rows.all()}
        assert sorted(rows) == kept.emails
        times = {row.generation - 1 for row in rows.values()}
        assert times <= {REPLACEMENTS, REPLACEMENTS + 1}, kept.stack.tail("worker")  # each at its own moments
        assert {row.status for row in rows.values()} == {"connected"}
        assert min(left for _, left, _ in kept.samples) > LIFETIME / 3 - 10
        assert all(valid for _, _, valid in kept.samples)
        assert len(kept.samples) > 100

    def test_with_one_call_of_the_provider_each_time(self, kept):
        for row in kept.stack.rows.all():
            calls = kept.stack.provider.token_calls("refresh_token", email=row.email, status=200)
            assert kept.stack.posts(row.email) == len(calls) == row.generation - 1

    def test_and_its_history_says_so(self, kept):
        events = CredentialEvent.objects.using(kept.stack.alias)
        changes = sum(row.generation - 1 for row in kept.stack.rows.all())
        assert list(events.values_list("kind", flat=True)) == ["refreshed"] * changes


def test_workers_and_beats_end_cleanly_on_sigterm(kept):
    assert set(kept.exit_codes.values()) == {0}, [kept.stack.tail(name) for name in kept.exit_codes]
    assert not kept.stack.rows.exclude(lease_owner="").exists()


def test_no_secret_passed_the_broker_or_a_log(kept):
    texts = [kept.messages, *(path.read_bytes() for path in kept.stack.folder.glob("*.log"))]
    said = unwrapped(b"\n".join(texts))
    assert b"mail_oauth.tasks.refresh_batch" in said
    assert b'[[], {}, {"callbacks"' in said, "bodies of messages are looked into"
    assert not [secret for secret in kept.stack.provider.issued if secret.encode() in said]


def test_a_worker_told_to_stop_finishes_what_runs_and_gives_back_the_rest(
    django_db_setup, django_db_blocker, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("stopping", numbered=False)
    with django_db_blocker.unblock(), FakeProvider() as provider:
        stack = on_filesystem(folder, provider, REFRESH_THREADS=2)
        try:
            due = timezone.now() - timedelta(seconds=1)
            emails = [f"{number}@example.com" for number in range(40)]
            [stack.connect(email, refresh_at=due) for email in emails]
            with provider.fault(Fault.slow(0.5)):
                worker = stack.start_worker("--beat", f"--schedule={folder / 'schedule'}", BEAT_SECONDS="1")
                wait_until(
                    lambda: len(provider.token_calls("refresh_token")) > 2, 30, lambda: stack.tail("worker")
                )
                worker.terminate()
                assert worker.wait(30) == 0, stack.tail("worker")
            done = stack.rows.filter(generation=2).count()
            assert 2 < done < 30
            assert sum(stack.posts(email) for email in emails) == done
            assert not stack.rows.exclude(lease_owner="").exists()
            assert stack.rows.due().count() == 40 - done
            assert "'ended': 'stopped'" in stack.tail("worker")
        finally:
            stack.remove()
