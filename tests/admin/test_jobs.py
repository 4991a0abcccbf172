"""Many mailboxes are operated on by a job, which workers go on with, and whose page shows how far it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from celery import Celery, current_app
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from django.utils.translation import gettext, override

from mail_oauth import tasks
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import BulkItem, BulkJob, ItemState, MailCredentials
from mail_oauth.operations import jobs
from mail_oauth.operations.catalogue import OPERATIONS
from mail_oauth.operations.contract import Order, Result
from mail_oauth.operations.jobs import order_job, progress_of, stop, work
from mail_oauth.operations.use import PAUSE
from mail_oauth.upkeep.prune import prune_events
from tests.admin.conftest import CHANGELIST
from tests.concurrency import together
from tests.telling import said
from tests.upkeep.test_tasks import messages as waiting_messages
from tests.upkeep.test_tasks import run

pytestmark = pytest.mark.django_db

JOBS = "/admin/mail_oauth/bulkjob/"


@pytest.fixture
def app() -> Iterator[Celery]:
    """A project's Celery app, on a broker in memory."""
    before = current_app._get_current_object()
    made = Celery("project", broker="memory://", set_as_current=False)
    made.set_current()
    yield made
    with made.connection() as connection:
        connection.default_channel.queue_purge("celery")
    made.close()
    before.set_current()


@pytest.fixture
def many(user):
    """Make so many mailboxes, without tokens."""

    def make(number: int) -> list[MailCredentials]:
        rows = [
            MailCredentials(user=user, provider="google", email=f"m{place:03}@example.com")
            for place in range(number)
        ]
        return MailCredentials.objects.bulk_create(rows)

    return make


def act(browser, name: str, mailboxes, confirmed: bool = True, **data):
    selected = [str(mailbox.pk) for mailbox in mailboxes]
    data |= {"confirmed": "yes"} if confirmed else {}
    return browser.post(CHANGELIST, {"action": name, "_selected_action": selected, **data})


def page(job: BulkJob, tail: str = "change/") -> str:
    return f"{JOBS}{job.pk}/{tail}"


def ordered(rows, actor=None, operation=PAUSE) -> BulkJob:
    """A job of somebody's, who may do everything unless named."""
    actor = actor or User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("chief")
    return order_job(operation, [row.pk for row in rows], Order(actor=actor))


# --- from the list ---


def test_few_are_done_at_once_and_told_one_by_one(root, many, provider):
    response = act(root, "pause", many(3))
    assert response.url == CHANGELIST
    assert said(response) == [
        f"m{place:03}@example.com: OAuth is switched off; the tokens are kept." for place in range(3)
    ]
    assert BulkJob.objects.get().ended_at is not None


def test_many_go_to_the_workers(root, many, provider, app):
    response = act(root, "pause", many(21))
    job = BulkJob.objects.get()
    assert response.url == page(job)
    assert progress_of(job).waiting == 21
    [message] = waiting_messages(app)
    assert message.headers["task"] == "mail_oauth.tasks.run_jobs"
    assert message.payload[:2] == [[], {}]  # it names no mailbox
    run(app, message)
    assert not MailCredentials.objects.filter(use_oauth=True).exists()
    assert progress_of(job).done == 21
    assert "21 of 21 mailboxes" in root.get(page(job)).content.decode()


def test_where_there_are_no_workers_the_request_does_what_it_can(root, many, provider):
    response = act(root, "pause", many(21))
    assert response.url == page(BulkJob.objects.get())
    assert progress_of(BulkJob.objects.get()).done == 21


def test_where_the_broker_is_away_as_well(root, many, provider, app, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(app.conf, "broker_url", "redis://127.0.0.1:1/0")
        act(root, "pause", many(21))
    assert progress_of(BulkJob.objects.get()).done == 21


def test_all_that_a_filter_finds_are_meant_where_all_are_chosen(root, many, provider):
    rows = many(120)
    act(root, "pause", rows[:50], select_across="1")
    assert BulkJob.objects.get().total == 120


def test_more_than_a_job_takes_are_refused_and_refreshes_left_to_the_sweep(
    root, many, connect, provider, monkeypatch
):
    monkeypatch.setattr("mail_oauth.admin.acting.MOST", 2)
    rows = [*many(2), connect()]
    (message,) = said(act(root, "pause", rows))
    assert message == "Nothing was done: select at most 2 mailboxes for “Switch OAuth off”."
    (_, message) = said(act(root, "refresh_now", rows))
    assert message == "3 mailboxes are due now: the sweep takes them next."
    assert not BulkJob.objects.exists()
    assert MailCredentials.objects.due().count() == 3


def test_who_may_not_do_it_begins_no_job(many, staff, signed_in, provider):
    assert act(signed_in(staff("view", "change")), "pause", many(21)).status_code == 403
    assert not BulkJob.objects.exists()


# --- the work ---


def test_each_mailbox_has_its_result_and_event_and_entry_in_the_log(root, superuser, connect, provider):
    good, lost = connect(email="good@example.com"), connect(email="lost@example.com")
    provider.revoke(lost.email)
    job = ordered([good, lost], superuser, OPERATIONS["refresh_now"])
    assert work(seconds=60) == {"done": 1, "failed": 1, "ended": "done"}
    text = root.get(page(job)).content.decode()
    assert "refreshed; the new token is valid for 60 minutes" in text
    assert "its user must connect it again" in text
    assert text.index(lost.email) < text.index(good.email)  # what was not done comes first
    for mailbox in (good, lost):
        assert mailbox.events.get(actor=superuser).kind == EventKind.REFRESH_ORDERED
    assert LogEntry.objects.filter(user=superuser).count() == 2


def test_what_breaks_one_mailbox_keeps_no_other_from_its_turn(many, provider, monkeypatch, caplog):
    rows, broken = many(3), iter([True, False, False])

    def breaking(row, order):
        if next(broken):
            raise RuntimeError("of the site's own")
        return PAUSE.run(row, order)

    monkeypatch.setitem(OPERATIONS, "pause", replace(PAUSE, run=breaking))
    assert work(ordered(rows), seconds=60) == {"done": 2, "failed": 1, "ended": "done"}
    assert "failed" in caplog.text


def test_a_mailbox_that_was_deleted_meanwhile_is_none(root, many, provider):
    rows = many(2)
    job = ordered(rows)
    MailCredentials.objects.filter(pk=rows[0].pk).delete()
    work(job, seconds=60)
    text = root.get(page(job)).content.decode()
    assert f"<code>{rows[0].pk}</code> (deleted)" in text
    assert rows[0].email not in text


def test_it_ends_with_its_time_and_goes_on_where_it_was(many, provider):
    job = ordered(many(3))
    for left in (2, 1):
        assert work(job, seconds=-1)["ended"] == "time"
        assert progress_of(job).waiting == left
        job.refresh_from_db()
        assert job.ended_at is None
    assert work(job, seconds=60) == {"done": 1, "failed": 0, "ended": "done"}
    job.refresh_from_db()
    assert job.ended_at is not None


def test_a_worker_that_is_told_to_stop_begins_no_more(many, provider):
    job = ordered(many(3))
    assert work(job, seconds=60, stopped=lambda: True) == {"done": 1, "failed": 0, "ended": "stopped"}


def test_what_a_dead_worker_held_is_taken_when_its_time_is_over(many, provider):
    job = ordered(many(2))
    taken = jobs._take(job)
    assert work(job, seconds=60)["done"] == 1
    job.refresh_from_db()
    assert job.ended_at is None  # the other may still come to its end
    BulkItem.objects.filter(pk=taken.pk).update(taken_until=timezone.now() - timedelta(seconds=1))
    assert work(job, seconds=60)["done"] == 1
    job.refresh_from_db()
    assert job.ended_at is not None


def test_a_worker_that_wakes_late_writes_over_nobodys_result(many, provider):
    job = ordered(many(1))
    late = jobs._take(job)
    BulkItem.objects.update(taken_until=timezone.now() - timedelta(seconds=1))
    work(job, seconds=60)
    assert job.items.get().text == "OAuth is switched off; the tokens are kept"
    jobs._do(job, late)  # says that it was off already
    assert job.items.get().text == "OAuth is switched off; the tokens are kept"


def test_of_many_workers_each_mailbox_has_one(separate_connections, many, provider):
    job = ordered(many(30))
    reports = together(4, lambda: work(job, seconds=60))
    assert sum(report["done"] for report in reports) == 30
    assert set(job.items.values_list("text", flat=True)) == {"OAuth is switched off; the tokens are kept"}


def test_what_is_stopped_begins_no_more(root, many, provider):
    job = ordered(many(3))
    assert root.post(page(job, "steer/stop/")).url == page(job)
    assert work(seconds=60)["done"] == 0
    assert stop(job) is False
    text = root.get(page(job)).content.decode()
    assert "left out" in text
    assert "/steer/continue/" not in text


LOSSES = {
    "shut out": lambda person: User.objects.filter(pk=person.pk).update(is_active=False),
    "no longer staff": lambda person: User.objects.filter(pk=person.pk).update(is_staff=False),
    "without the permission": lambda person: person.user_permissions.clear(),
    "deleted": lambda person: User.objects.filter(pk=person.pk).delete(),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_what_somebody_ordered_is_done_for_as_long_as_they_may(many, provider, staff, lose):
    person = staff("view", "pause")
    job = ordered(many(3), person)
    assert work(seconds=-1)["done"] == 1
    lose(person)
    assert work(seconds=60)["done"] == 0
    job.refresh_from_db()
    assert job.stopped


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_a_worker_sees_in_the_midst_of_it_that_they_may_no_more(transactional_db, many, provider, staff, lose):
    person, rows = staff("pause"), many(3)
    losing = replace(PAUSE, kind=None, run=lambda row, order: (PAUSE.run(row, order), lose(person))[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(OPERATIONS, "pause", losing)
        job = ordered(rows, person)
        assert work(seconds=60) == {"done": 1, "failed": 0, "ended": "done"}
    job.refresh_from_db()
    assert job.stopped
    assert progress_of(job).waiting == 2
    assert not BulkItem.objects.filter(taken_until__isnull=False).exists()


def test_a_worker_sees_that_it_was_stopped_meanwhile(many, provider, monkeypatch):
    job = ordered(many(3))
    monkeypatch.setitem(
        OPERATIONS, "pause", replace(PAUSE, run=lambda _row, _order: Result(stop(job), "stopped by another"))
    )
    assert work(job, seconds=60)["done"] == 1
    assert progress_of(job).waiting == 2


def test_results_are_in_the_language_of_the_one_who_asked(many, provider):
    with override("de"):
        job = ordered(many(1))
    assert job.language == "de"
    seen = []
    telling = replace(PAUSE, run=lambda _row, _order: seen.append(gettext("Yes")) or Result(True, "x"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(OPERATIONS, "pause", telling)
        work(job, seconds=60)
    assert seen == ["Ja"]


# --- beat and workers ---


def test_a_tick_of_beat_sees_to_jobs_whose_message_was_lost(app, many, provider):
    ordered(many(2))
    tasks.refresh_due()
    [message] = waiting_messages(app)
    assert run(app, message)["done"] == 2
    tasks.refresh_due()
    assert waiting_messages(app) == []


def test_a_tick_calls_nobody_while_somebody_is_at_work(app, many, provider):
    """Else each minute would add one more, and mailboxes that are due would find no worker free."""
    job = ordered(many(2))
    jobs._take(job)
    tasks.refresh_due()
    assert waiting_messages(app) == []
    BulkItem.objects.update(taken_until=timezone.now() - timedelta(seconds=1))
    tasks.refresh_due()
    assert len(waiting_messages(app)) == 1


def test_without_celery_a_command_goes_on_with_them(many, provider, capsys):
    ordered(many(3))
    call_command("mail_oauth", "jobs")
    assert re.search(r"^done +3$", capsys.readouterr().out, re.MULTILINE)


def test_a_long_job_keeps_no_short_one_waiting(many, provider):
    rows = many(9)
    long, short = ordered(rows[:8]), ordered(rows[8:])
    taken = []
    with pytest.MonkeyPatch.context() as patched:
        true = jobs._do
        patched.setattr(jobs, "_do", lambda job, item: taken.append(job.pk) or true(job, item))
        work(seconds=60)
    assert taken[:3] == [long.pk, short.pk, long.pk]


def test_a_task_whose_time_is_over_calls_the_next(app, many, provider, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BATCH_SECONDS": 0}
    ordered(many(2))
    assert tasks.run_jobs()["ended"] == "time"
    assert len(waiting_messages(app)) == 1


def test_old_jobs_go_with_old_events(many, provider):
    job = ordered(many(3))
    BulkJob.objects.update(created_at=timezone.now() - timedelta(days=91))
    ordered(many(0))
    prune_events()
    assert not BulkItem.objects.filter(job=job).exists()
    assert BulkJob.objects.count() == 1


# --- the pages ---


def test_the_page_of_a_job_under_way_asks_for_itself_again(root, many, provider):
    job = ordered(many(4))
    work(job, seconds=-1)
    text = root.get(page(job)).content.decode()
    assert '<meta http-equiv="refresh" content="3">' in text
    assert re.search(r'<progress id="progress" max="4" value="1">', text)
    assert "1 of 4 mailboxes" in text
    work(job, seconds=60)
    assert "http-equiv" not in root.get(page(job)).content.decode()


def test_the_bar_is_right_where_thousands_are_parted(root, many, provider, settings):
    settings.USE_THOUSAND_SEPARATOR, settings.LANGUAGE_CODE = True, "de"
    job = ordered(many(1))
    BulkJob.objects.update(total=1234)
    assert '<progress id="progress" max="1234" value="0">' in root.get(page(job)).content.decode()


def test_it_can_be_gone_on_with_by_hand(root, many, provider):
    job = ordered(many(2))
    assert root.post(page(job, "steer/continue/")).url == page(job)
    assert progress_of(job).done == 2


def test_the_steps_of_a_tested_sign_in_stand_under_it(root, connect):
    mailbox = connect(seconds_left=-10, status=Status.NEEDS_REAUTH)
    job = ordered([mailbox], operation=OPERATIONS["test_sign_in"])
    work(job, seconds=60)
    item = job.items.get()
    assert item.state == ItemState.FAILED
    assert len(item.text.split("\n")) > 3
    assert "\N{BALLOT X} token" in root.get(page(job)).content.decode()


@pytest.mark.parametrize("number", [1, 60])
def test_the_pages_cost_the_same_however_many_mailboxes(
    root, many, provider, number, django_assert_num_queries, counting
):
    job = ordered(many(number))
    work(job, seconds=60)
    root.get(page(job))
    with django_assert_num_queries(7):  # session, person, job, who ordered it, numbers, results, addresses
        root.get(page(job))
    with django_assert_num_queries(4):  # session, person, count, jobs
        root.get(JOBS)
    with django_assert_num_queries(5 + counting):  # session, person; the list: rows; the question: rows, count
        act(root, "pause", MailCredentials.objects.all()[:50], confirmed=False)


def test_long_results_come_in_pages(root, many, provider, monkeypatch):
    monkeypatch.setattr("mail_oauth.admin.jobs.ROWS_PER_PAGE", 10)
    job = ordered(many(25))
    first, last = (root.get(page(job), {"p": number}).content.decode() for number in (1, 3))
    assert "Page 1 of 3" in first
    assert "m000@" in first
    assert "m024@" in last
    assert "m000@" not in last


def test_who_sees_mailboxes_sees_jobs_and_only_who_may_do_it_steers_them(many, provider, staff, signed_in):
    job = ordered(many(2))
    assert signed_in(staff("view", model="credentialevent")).get(page(job)).status_code == 403
    looking = signed_in(staff("view", "refresh"))
    assert "/steer/stop/" not in looking.get(page(job)).content.decode()
    for how in ("stop", "continue"):
        assert looking.post(page(job, f"steer/{how}/")).status_code == 403
    acting = signed_in(staff("view", "pause"))
    assert "/steer/stop/" in acting.get(page(job)).content.decode()
    assert acting.get(page(job, "steer/stop/")).status_code == 405
    assert acting.post(page(job, "steer/drop/")).status_code == 404
    assert acting.post(page(job, "steer/stop/")).status_code == 302


def test_nobody_makes_changes_or_deletes_a_job(root, many, provider):
    job = ordered(many(1))
    for address in (f"{JOBS}add/", page(job), page(job, "delete/")):
        assert root.post(address).status_code in {403, 404}, address
    assert BulkJob.objects.count() == 1


def test_a_job_of_an_operation_that_is_gone_is_shown(root, many, provider):
    job = ordered(many(1))
    BulkJob.objects.update(operation="of_another_release")
    assert "of_another_release" in root.get(page(job)).content.decode()
    assert root.get(JOBS).status_code == 200


def test_a_job_that_this_release_does_not_know_stops_no_other(app, many, provider):
    rows = many(2)
    unknown, known = ordered(rows[:1]), ordered(rows[1:])
    BulkJob.objects.filter(pk=unknown.pk).update(operation="of_another_release")
    tasks.refresh_due()
    [message] = waiting_messages(app)
    assert run(app, message)["done"] == 1
    assert progress_of(known).done == 1
    assert progress_of(unknown).waiting == 1
    tasks.refresh_due()
    assert waiting_messages(app) == [], "nobody here can do what is left"


def test_it_is_stopped_by_whoever_may_change_mailboxes(many, provider, staff, signed_in):
    job = ordered(many(1))
    BulkJob.objects.update(operation="of_another_release")
    assert signed_in(staff("view", "pause")).post(page(job, "steer/stop/")).status_code == 403
    acting = signed_in(staff("view", "change"))
    assert "/steer/stop/" in acting.get(page(job)).content.decode()
    assert acting.post(page(job, "steer/stop/")).status_code == 302
    job.refresh_from_db()
    assert job.stopped
