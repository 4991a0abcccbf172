"""What the command shows: a table for people, JSON for programs, an exit code for scripts."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from mail_oauth.management.doctor import SCHEMA
from mail_oauth.upkeep.doctor import PROBES, Level

pytestmark = pytest.mark.django_db

MEMBERS = {"schema", "level", "live", "seconds", "numbers", "findings"}
MEMBERS_OF_FINDINGS = {"id", "subject", "level", "what", "hint", "milliseconds"}


@pytest.fixture
def quiet(settings, file_cache):
    """A site of which nothing bad is to be said but that nothing has run yet."""
    settings.SILENCED_SYSTEM_CHECKS = [
        "mail.E001",  # a test run sends no mail
        *(f"mail_oauth.{number}" for number in ("E008", "E046", "W004", "W006", "W018", "W020", "W026")),
        *(f"security.W{number:03}" for number in range(1, 30)),
    ]


class TestTheTable:
    def test_has_a_line_for_each_finding_and_a_hint_under_what_is_not_well(self, doctor, quiet):
        lines = doctor(as_json=False).text.splitlines()
        [place] = [number for number, line in enumerate(lines) if "work.sweeps" in line]
        assert lines[place].split()[:2] == ["warning", "work.sweeps"]
        assert lines[place + 1].startswith("    Run beat and a worker")
        [well] = [line for line in lines if "database.writable" in line]
        assert well.startswith("ok ")
        assert "A row was written, and taken back. (" in well

    def test_ends_with_what_it_counted(self, doctor, quiet):
        last = doctor(as_json=False).text.splitlines()[-1]
        assert " ok, " in last
        assert "2 warnings" in last

    def test_stands_in_columns(self, doctor, quiet):
        lines = [line for line in doctor(as_json=False).text.splitlines() if "database." in line]
        assert len({line.index("database.") for line in lines}) == 1
        assert len({line.index("default") for line in lines}) == 1

    def test_is_coloured_as_djangos_are(self, doctor, quiet):
        out = io.StringIO()
        call_command("mail_oauth", "doctor", stdout=out, stderr=io.StringIO(), force_color=True)
        assert "\x1b[32;1mok" in out.getvalue()
        assert "\x1b[33;1mwarning" in out.getvalue()
        assert "\x1b[" not in doctor(as_json=False).text


class TestTheJSON:
    def test_has_a_shape_that_stays(self, doctor, quiet):
        data = doctor().data
        assert set(data) == MEMBERS
        assert data["schema"] == SCHEMA == 1
        assert {frozenset(each) for each in data["findings"]} == {frozenset(MEMBERS_OF_FINDINGS)}
        assert {each["level"] for each in data["findings"]} <= {"ok", "skipped", "warning", "error"}
        assert data["numbers"] == {
            level.value: sum(each["level"] == level for each in data["findings"]) for level in Level
        }
        assert (data["level"], data["live"]) == ("warning", False)

    def test_stands_in_the_same_order_each_time(self, doctor, settings):
        settings.SESSION_COOKIE_SAMESITE = "Strict"
        checks = [
            each["id"] for each in doctor().data["findings"] if "." in each["id"] and each["id"][-3:].isdigit()
        ]
        assert checks == sorted(checks)
        assert len(checks) > 3

    def test_names_probes_that_are_listed(self, doctor, quiet):
        found = {each["id"] for each in doctor().data["findings"]}
        assert found <= {probe.id for probe in PROBES}

    def test_is_all_that_stdout_holds(self, doctor, settings):
        settings.SESSION_COOKIE_SAMESITE = "Strict"
        assert json.loads(doctor().text)["level"] == "error"


class TestTheExitCode:
    def test_is_0_with_warnings_alone(self, doctor, quiet):
        examined = doctor()
        assert (examined.data["level"], examined.code) == ("warning", 0)

    def test_is_1_with_warnings_for_who_wants_it_so(self, doctor, quiet):
        assert doctor("--fail-level", "WARNING").code == 1

    def test_is_1_with_an_error(self, doctor, quiet, settings):
        settings.SESSION_COOKIE_SAMESITE = "Strict"
        assert doctor().code == 1


def test_a_provider_that_is_not_there(provider, no_celery):
    with pytest.raises(CommandError, match=r"has no 'gogle'\. Did you mean 'google'"):
        call_command("mail_oauth", "doctor", "--provider", "gogle", stdout=io.StringIO())


def test_a_probe_that_breaks_is_a_finding_and_stops_nothing(doctor, quiet, caplog):
    """A database function that this SQLite does not have, say: whatever nobody has thought of."""
    from mail_oauth.upkeep.doctor.rounds import Probe, Round

    def breaks(_):
        raise RuntimeError("what it says is for the log")

    fine = next(probe for probe in PROBES if probe.id == "database.reachable")
    found = Round("default", (Probe(id="x.breaks", what="", look=breaks), fine), "default").walk()
    assert [(each.id, each.level) for each in found] == [("x.breaks", "error"), ("database.reachable", "ok")]
    assert "RuntimeError" in found[0].what
    assert "for the log" not in found[0].what
    assert "probe x.breaks failed" in caplog.text


def test_probes_have_ids_of_their_own():
    assert len({probe.id for probe in PROBES}) == len(PROBES)
