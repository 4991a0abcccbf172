"""One look at the dashboard says what is well, what is not, whose turn it is, and where."""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from html.parser import HTMLParser

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth import tasks
from mail_oauth.managers.counts import slot_of
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials, ProviderHealth, RefreshCount
from mail_oauth.upkeep import pulse, reconcile, survey
from tests.admin.conftest import CHANGELIST

pytestmark = pytest.mark.django_db

DASHBOARD = "/admin/mail_oauth/dashboard/"


@pytest.fixture
def shared(file_cache, provider):
    """A cache that all processes share, in which upkeep was seen just now."""
    for work in ("refresh_due", "refresh_batch", "reconcile_cache", "prune_events"):
        pulse.beat(work)


def headlines(response) -> list[str]:
    return [finding.headline for finding in response.context["summary"].findings]


def finding(response, words: str):
    [found] = [each for each in response.context["summary"].findings if words in each.headline]
    return found


def panel(response, key: str) -> dict[str, list[str]]:
    [found] = [each for each in response.context["panels"] if each.key == key]
    return {words: [cell.text for cell in cells] for words, cells in found.rows}


def hold(**columns) -> ProviderHealth:
    now = timezone.now()
    held = {"held": True, "held_since": now - timedelta(minutes=12), "held_until": now + timedelta(minutes=1)}
    return ProviderHealth.objects.create(**{"provider": "microsoft", "trouble": "client", **held, **columns})


class TestTheSummary:
    def test_all_is_well(self, root, connect, shared):
        connect()
        response = root.get(DASHBOARD)
        assert headlines(response) == []
        text = response.content.decode()
        assert "All is well. Nobody has to act." in text
        assert "1 of 1 mailbox is connected." in text

    def test_names_whose_turn_it_is_and_leads_to_the_mailboxes(self, root, connect, shared):
        for status in Status.values:
            connect(status=status)
        connect(refresh_failures=1)
        gone = connect("plain")
        MailCredentials.objects.filter(pk=gone.pk).update(provider="former")
        response = root.get(DASHBOARD)
        for words, who in (
            ("cannot be decrypted", "operators"),
            ("a code that is not known", "operators"),
            ("a provider that the settings do not have", "operators"),
            ("blocked by its user's organisation", "administrators"),
            ("must be connected again", "users"),
            ("not refreshed at the last try", "Nobody"),
        ):
            found = finding(response, words)
            assert who in str(found.who), words
            shown = root.get(CHANGELIST, found.way.query).context["cl"]
            assert shown.result_count == 1, words
            assert f"{CHANGELIST}?{found.way.search}".replace("&", "&amp;") in response.content.decode()

    def test_the_worst_comes_first(self, root, connect, shared):
        connect(status=Status.NEEDS_REAUTH)
        connect(status=Status.UNREADABLE)
        assert "decrypted" in headlines(root.get(DASHBOARD))[0]

    @pytest.mark.parametrize(("number", "words"), [(1, "1 mailbox must"), (2, "2 mailboxes must")])
    def test_counts_in_words(self, root, connect, shared, number, words):
        for _ in range(number):
            connect(status=Status.NEEDS_REAUTH)
        assert finding(root.get(DASHBOARD), words)

    def test_a_client_that_is_refused_is_ours_to_mend(self, root, connect, shared):
        connect()
        hold(reason="invalid_client")
        found = finding(root.get(DASHBOARD), "(invalid_client). Held for: 12 min")
        assert "operators" in str(found.who)
        assert "client id or secret" in found.next_step
        assert root.get("/admin/mail_oauth/providerhealth/", found.way.query).context["cl"].result_count == 1

    def test_a_pause_that_the_provider_wants_is_not(self, root, shared):
        hold(trouble="throttle")
        response = root.get(DASHBOARD)
        assert str(finding(response, "asks for a pause").who) == "The provider"
        assert response.context["summary"].level == "wait"

    def test_of_many_lanes_it_tells_how_many_more(self, root, shared):
        for number in range(7):
            hold(tenant=f"tenant{number}")
        assert finding(root.get(DASHBOARD), "2 more lanes are held")

    def test_without_sweeps_nothing_is_refreshed(self, root, connect, file_cache):
        cache.clear()
        connect(refresh_at=timezone.now() - timedelta(minutes=9))
        found = finding(root.get(DASHBOARD), "Nothing refreshes the mailboxes")
        assert found.level == "bad"
        assert "beat" in found.next_step

    def test_a_site_that_has_forgotten_beat_is_told_before_anything_is_late(self, root, connect, file_cache):
        cache.clear()
        assert headlines(root.get(DASHBOARD)) == [], "where there is no mailbox there is nothing to refresh"
        connect()
        assert finding(root.get(DASHBOARD), "no sweep was seen").level == "wait"

    def test_refreshes_may_come_late_although_there_are_sweeps(self, root, connect, shared):
        connect(refresh_at=timezone.now() - timedelta(minutes=9))
        found = finding(root.get(DASHBOARD), "Longest due: 9 min ago")
        assert root.get(CHANGELIST, found.way.query).context["cl"].result_count == 1

    def test_a_grant_that_ends_soon(self, root, connect, shared):
        connect(refresh_token_expires_at=timezone.now() + timedelta(days=3))
        connect(refresh_token_expires_at=timezone.now() + timedelta(days=30))
        found = finding(root.get(DASHBOARD), "1 grant ends soon")
        assert root.get(CHANGELIST, found.way.query).context["cl"].result_count == 1

    def test_a_key_that_is_missing(self, root, connect, shared, settings):
        connect()
        settings.FERNET_KEYS = ["another key"]
        assert finding(root.get(DASHBOARD), "sealed under a key that this site lacks").level == "bad"

    def test_settings_that_cannot_be_used_break_no_page(self, root, connect, settings):
        connect()
        settings.MAIL_OAUTH = {"PROVIDER": {}}
        response = root.get(DASHBOARD)
        assert response.status_code == 200
        assert "PROVIDERS" in finding(response, "settings cannot be used").next_step

    def test_a_cache_that_is_away_breaks_no_page(self, root, connect, redis_cache):
        redis_cache.stop()
        response = root.get(DASHBOARD)
        assert finding(response, "The cache does not answer").level == "bad"


class TestNumbers:
    def test_mailboxes_by_status_and_provider(self, root, connect, shared):
        connect("google")
        connect("google", status=Status.NEEDS_ADMIN)
        connect("microsoft", use_oauth=False)
        found = panel(root.get(DASHBOARD), "mailboxes")  # all, microsoft, google
        assert found["connected"] == ["2", "1", "1"]
        assert found["needs the user's administrator"] == ["1", "0", "1"]
        assert found["all"] == ["3", "1", "2"]
        assert found["OAuth switched off"] == ["1", "1", "0"]

    def test_each_number_leads_to_as_many_mailboxes(self, root, connect, shared):
        connect("google", status=Status.NEEDS_ADMIN)
        connect("google", use_oauth=False, refresh_failures=1)
        connect("microsoft", refresh_token_expires_at=timezone.now() + timedelta(days=1))
        connect("microsoft", refresh_at=timezone.now() - timedelta(hours=1))
        [shown] = [each for each in root.get(DASHBOARD).context["panels"] if each.key == "mailboxes"]
        cells = [cell for _, cells in shown.rows for cell in cells if cell.way]
        assert len(cells) > 10
        for cell in cells:
            listed = root.get(CHANGELIST, cell.way.query).context["cl"].result_count
            assert str(listed) == cell.text, cell.way.query

    def test_calls_by_hour_and_outcome(self, root, shared):
        now = timezone.now()
        for hours, outcome, number in ((0, "granted", 5), (0, "retry", 2), (3, "granted", 7), (30, "reauth", 1)):
            at = slot_of(now - timedelta(hours=hours))
            RefreshCount.objects.create(begins_at=at, provider="google", outcome=outcome, number=number)
        day, week, _ahead = root.get(DASHBOARD).context["charts"]
        totals = {series.style: series.total for series in week.series}
        assert totals == {"granted": 12, "retry": 2, "reauth": 1}
        assert day.series[0].numbers[-1] == 5
        assert day.series[0].numbers[-4] == 7
        assert [series.style for series in day.series] == ["granted", "retry"]
        hour = now.astimezone(UTC).replace(minute=0)
        assert day.table[-1] == (f"{hour:%H:%M}", ["5", "2"], "7")

    def test_the_last_hour_by_provider(self, root, shared):
        at = slot_of(timezone.now())
        for outcome, number in (("granted", 1234), ("retry", 2), ("reauth", 1)):
            RefreshCount.objects.create(begins_at=at, provider="google", outcome=outcome, number=number)
        hold(provider="google", tenant="t")
        [shown] = [each for each in root.get(DASHBOARD).context["panels"] if each.key == "providers"]
        cells = dict(shown.rows)["Google"]
        assert (cells[0].badge.words, cells[1].text, cells[2].text) == ("held for organisations", "1,234", "3")

    def test_refreshes_that_are_foreseen(self, root, connect, shared):
        connect(seconds_left=3600)
        *_, ahead = root.get(DASHBOARD).context["charts"]
        assert ahead.series[0].numbers[3] == 1
        assert re.search(r"fullest minute begins at \d\d:\d\d, with 1 refresh\.", ahead.description)

    def test_what_the_last_reconciliation_found(self, root, connect, shared):
        connect()
        reconcile.reconcile_cache()
        assert panel(root.get(DASHBOARD), "drift") == {"nothing stood there": ["1"]}

    def test_a_dry_run_and_a_part_are_no_reconciliation(self, connect, shared, root):
        connect()
        reconcile.reconcile_cache(dry_run=True)
        reconcile.reconcile_cache(limit=1)
        assert not [each for each in root.get(DASHBOARD).context["panels"] if each.key == "drift"]

    def test_when_upkeep_was_seen_and_how_much_waits(self, root, connect, shared):
        connect(refresh_at=timezone.now() - timedelta(seconds=150))
        found = panel(root.get(DASHBOARD), "work")
        assert found["Due now"] == ["1"]
        assert found["Longest due"] == ["2 min ago"]
        assert found["Beat's last tick"][0].endswith("s ago")

    def test_keys_in_use(self, root, connect, shared, settings):
        connect()
        settings.FERNET_KEYS = ["a new key", *settings.FERNET_KEYS]
        assert list(panel(root.get(DASHBOARD), "keys").values()) == [
            ["0", "seals and opens"],
            ["1", "opens only"],
        ]


class TestALargeTable:
    @pytest.fixture(autouse=True)
    def two_are_many(self, monkeypatch):
        monkeypatch.setattr(survey, "COUNTED_AT_ONCE", 1)

    def test_is_counted_by_beat_alone(self, root, connect, shared):
        connect(), connect()
        assert finding(root.get(DASHBOARD), "not counted yet").next_step.startswith("Press “Count now”")
        tasks.take_survey()
        connect()
        response = root.get(DASHBOARD)
        assert headlines(response) == []
        assert panel(response, "mailboxes")["all"][0] == "2"
        assert re.search(r"Last count of the mailboxes: \d+ s ago", response.content.decode())

    def test_what_is_kept_is_what_was_counted(self, connect, shared, root):
        connect("google", status=Status.NEEDS_ADMIN), connect()
        taken = survey.take_survey()
        kept = survey.UpkeepReport.objects.named([survey.NAME])[survey.NAME]
        read = survey.Survey.of(kept.content)
        assert read is not None
        millisecond = timedelta(milliseconds=1)
        assert abs(read.taken_at - taken.taken_at) < millisecond
        assert (read.status.mailboxes, read.ahead, read.keys) == (2, taken.ahead, taken.keys)
        assert [group.provider for group in read.status.groups] == ["google", "microsoft"]

    def test_an_old_count_says_so(self, root, connect, shared):
        connect(), connect()
        survey.take_survey()
        survey.UpkeepReport.objects.update(made_at=timezone.now())
        [report] = survey.UpkeepReport.objects.all()
        report.content["taken_at"] = (timezone.now() - timedelta(hours=2)).isoformat()
        report.save()
        assert finding(root.get(DASHBOARD), "Last count: 2 h ago").level == "wait"

    def test_a_report_of_another_release_is_none(self, root, connect, shared):
        connect(), connect()
        now = timezone.now()
        survey.UpkeepReport.objects.keep(survey.NAME, {"taken_at": now.isoformat()}, now)
        survey.UpkeepReport.objects.keep(reconcile.NAME, {"walked": "many"}, now)
        assert finding(root.get(DASHBOARD), "not counted yet")

    def test_an_older_report_never_replaces_a_later_one(self, db):
        now, reports = timezone.now(), survey.UpkeepReport.objects
        assert reports.keep("survey", {"number": 1}, now)
        assert not reports.keep("survey", {"number": 0}, now - timedelta(seconds=1))
        assert reports.keep("survey", {"number": 2}, now + timedelta(seconds=1))
        assert reports.named(["survey"])["survey"].content == {"number": 2}

    def test_the_button_counts(self, root, connect, shared):
        connect(), connect()
        text = root.get(DASHBOARD).content.decode()
        assert f'action="{DASHBOARD}count/"' in text
        response = root.post(f"{DASHBOARD}count/", follow=True)
        assert "2 mailboxes were counted." in response.content.decode()
        assert headlines(response) == []
        assert not [each for each in response.context["panels"] if each.key == "keys"], "nobody waits for these"
        tasks.take_survey()
        assert sum(int(cells[0]) for cells in panel(root.get(DASHBOARD), "keys").values()) == 2

    def test_keys_are_counted_once_an_hour(self, connect, shared, settings):
        connect(), connect()
        first = survey.take_survey()
        settings.FERNET_KEYS = ["another key"]
        assert survey.take_survey().keys == first.keys
        [report] = survey.UpkeepReport.objects.all()
        report.content["keys_at"] = (timezone.now() - timedelta(hours=2)).isoformat()
        report.save()
        assert survey.take_survey().keys != first.keys


class TestItsCost:
    def test_the_queries_do_not_grow_with_the_mailboxes(self, root, connect, shared, django_user_model):
        connect()
        root.get(DASHBOARD)
        with CaptureQueriesContext(connection) as few:
            root.get(DASHBOARD)
        for alias in ("google", "keycloak", "plain"):
            connect(alias, owner=django_user_model.objects.create(username=f"owner-{alias}"))
            hold(provider=alias)
        with CaptureQueriesContext(connection) as many:
            root.get(DASHBOARD)
        assert len(many) == len(few) == 12  # session, person, seven of any table, three that count a small one

    def test_a_large_table_is_not_counted(self, root, connect, shared, monkeypatch):
        monkeypatch.setattr(survey, "COUNTED_AT_ONCE", 1)
        connect(), connect()
        tasks.take_survey()
        with CaptureQueriesContext(connection) as queries:
            root.get(DASHBOARD)
        assert len(queries) == 9
        assert not [query for query in queries.captured_queries if "token" in query["sql"].partition("FROM")[0]]


class TestWhoSeesIt:
    def test_whoever_may_view_the_mailboxes_or_the_dashboard(self, signed_in, staff, connect, shared):
        connect(status=Status.NEEDS_REAUTH)
        assert signed_in(staff("view")).get(DASHBOARD).status_code == 200
        client = signed_in(staff("view", model="dashboard"))
        response = client.get(DASHBOARD)
        assert response.status_code == 200
        assert CHANGELIST not in response.content.decode(), "no link into a list that is closed to them"
        assert signed_in(staff("view", model="credentialevent")).get(DASHBOARD).status_code == 403
        assert client.get("/admin/").content.decode().count(DASHBOARD) >= 1

    def test_only_whoever_may_change_mailboxes_counts_them(self, signed_in, staff, shared):
        client = signed_in(staff("view"))
        assert client.post(f"{DASHBOARD}count/").status_code == 403
        assert signed_in(staff("view", "change")).post(f"{DASHBOARD}count/").status_code == 302
        assert signed_in(staff("view", "change")).get(f"{DASHBOARD}count/").status_code == 405

    def test_strangers_sign_in_first(self, client, db):
        assert client.get(DASHBOARD)["Location"].startswith("/admin/login/")


class Elements(HTMLParser):
    """The elements of a page with their attributes; text is left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


class TestThePage:
    @pytest.fixture
    def elements(self, root, connect, shared):
        connect(status=Status.NEEDS_REAUTH)
        hold(tenant='"><script>alert(1)</script>', reason="<b>")
        RefreshCount.objects.create(
            begins_at=slot_of(timezone.now()), provider="google", outcome="retry", number=1
        )
        text = root.get(DASHBOARD).content.decode()
        assert "<script>alert" not in text
        return Elements(text[text.index('id="content-main"') :]).found

    def test_has_no_inline_style_or_script(self, elements):
        for tag, attributes in elements:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]

    def test_each_chart_has_a_title_a_description_and_a_table(self, elements):
        charts = [attributes for tag, attributes in elements if tag == "svg" and attributes.get("role") == "img"]
        ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
        assert charts
        assert len(ids) == len(set(ids))
        for attributes in charts:
            assert set(attributes["aria-labelledby"].split()) <= set(ids)
        assert sum(tag == "details" for tag, _ in elements) == len(charts)

    def test_every_table_has_a_caption_and_headings(self, elements):
        tags = [tag for tag, _ in elements]
        assert tags.count("table") == tags.count("caption") > 5
        assert all(attributes.get("scope") for tag, attributes in elements if tag == "th")

    def test_coordinates_are_svgs_in_every_language(self, root, connect, shared, settings):
        RefreshCount.objects.create(
            begins_at=slot_of(timezone.now()), provider="google", outcome="retry", number=3
        )
        settings.LANGUAGE_CODE = "de"
        text = root.get(DASHBOARD).content.decode()
        paths = re.findall(r'<path class="mail-oauth-bar-\w+" d="([^"]+)"', text)
        assert paths
        number = r"-?\d+\.\d\d"
        assert all(re.fullmatch(rf"(M{number} {number}h{number}v{number}h{number}z)+", path) for path in paths)
