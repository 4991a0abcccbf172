"""The decisions about lanes are values: tables, no database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.conf import app_settings
from mail_oauth.refresh.classification import AADSTS, CLIENT_AADSTS, CLIENT_ERRORS, ERRORS, Action, Trouble
from mail_oauth.refresh.lanes import Reach, Sightings, brakes, is_over, is_still, pause, reach
from mail_oauth.refresh.policy import postponement
from mail_oauth.refresh.verdicts import Verdict, judge
from tests.verdicts.replies import reply

ONE = Sightings(mailboxes=1, tenants=1)
MANY = Sightings(mailboxes=3, tenants=1)
SPREAD = Sightings(mailboxes=3, tenants=2)


@pytest.mark.parametrize(
    ("in_app", "in_tenant", "only_tenant", "reached"),
    [
        (ONE, ONE, True, None),
        (MANY, MANY, False, Reach.TENANT),
        (MANY, MANY, True, Reach.APP),
        (SPREAD, ONE, False, Reach.APP),
        (SPREAD, MANY, False, Reach.APP),
        (MANY, Sightings(), False, None),
    ],
)
def test_how_far_a_trouble_reaches(in_app, in_tenant, only_tenant, reached):
    assert reach(in_app, in_tenant, only_tenant=lambda: only_tenant) is reached


@pytest.mark.parametrize(
    ("refused", "granted", "pulled"),
    [(9, 0, False), (10, 0, True), (10, 10, True), (10, 11, False), (100, 1000, False), (1000, 100, True)],
)
def test_the_brake_needs_a_count_and_a_share(refused, granted, pulled):
    assert brakes(refused, granted) is pulled


@given(trials=st.integers(1, 10_000), retry_after=st.none() | st.floats(0, 1e12))
def test_a_pause_is_bounded(trials, retry_after):
    assert app_settings().circuit_pause <= pause(trials, retry_after) <= app_settings().circuit_cap


@given(seconds=st.floats(-10, 900))
def test_who_is_postponed_comes_after_the_pause_and_not_with_everybody(seconds):
    span = max(seconds, app_settings().circuit_pause)
    assert max(seconds, 0) < postponement(seconds) <= max(seconds, 0) + span


@given(seconds=st.floats(900, 1e6))
def test_nor_is_anybody_postponed_for_long_for_the_sake_of_others(seconds):
    assert postponement(seconds) <= seconds + app_settings().circuit_cap


GRANTED, REFUSED = Verdict(action=Action.GRANTED), Verdict(action=Action.REAUTH, trouble=Trouble.REAUTH)
AWAY = Verdict(action=Action.RETRY, trouble=Trouble.OUTAGE)
ASKED = Verdict(action=Action.RETRY, trouble=Trouble.THROTTLE)
SECRET = Verdict(action=Action.OPERATOR, trouble=Trouble.CLIENT)
ROW = Verdict(action=Action.BUG, trouble=Trouble.CONFIGURATION)


@pytest.mark.parametrize(
    ("trouble", "over", "still"),
    [
        (Trouble.CLIENT, [GRANTED, REFUSED], [SECRET]),
        (Trouble.CONFIGURATION, [GRANTED], [ROW]),
        (Trouble.OUTAGE, [GRANTED, REFUSED, SECRET, ROW], [AWAY, ASKED]),
        (Trouble.THROTTLE, [GRANTED, REFUSED, SECRET, ROW], [AWAY, ASKED]),
    ],
)
def test_what_a_trial_shows(trouble, over, still):
    every = [GRANTED, REFUSED, AWAY, ASKED, SECRET, ROW]
    assert [verdict for verdict in every if is_over(trouble, verdict)] == over
    assert [verdict for verdict in every if is_still(trouble, verdict)] == still


def test_only_client_authentication_opens_a_circuit_at_once():
    """Every AADSTS number under the worst `error`: the number decides."""
    found, by_action = {}, {Action.OPERATOR: Trouble.CONFIGURATION, Action.REAUTH: Trouble.REAUTH}
    for number in AADSTS:
        found[number] = judge(reply({"error": "invalid_client", "error_codes": [number]}, 401)).trouble
    assert found == {
        number: Trouble.CLIENT if number in CLIENT_AADSTS else by_action.get(action)
        for number, action in AADSTS.items()
    }


@pytest.mark.parametrize("error", sorted(ERRORS))
def test_and_every_error(error):
    verdict = judge(reply({"error": error}, 400))
    expected = {
        Action.OPERATOR: Trouble.CONFIGURATION,
        Action.BUG: Trouble.CONFIGURATION,
        Action.REAUTH: Trouble.REAUTH,
    }.get(ERRORS[error], Trouble.THROTTLE if error in {"slow_down", "rate_limit_exceeded"} else None)
    assert verdict.trouble is (Trouble.CLIENT if error in CLIENT_ERRORS else expected)


@pytest.mark.parametrize(
    ("status", "trouble"),
    [(429, Trouble.THROTTLE), (999, Trouble.THROTTLE), (500, Trouble.OUTAGE), (408, Trouble.OUTAGE)],
)
def test_and_every_status(status, trouble):
    assert judge(reply({"error": "invalid_client"}, status)).trouble is trouble


def test_a_loop_at_microsoft_is_one_mailboxes_own_affair():
    verdict = judge(reply({"error": "invalid_grant", "error_codes": [50196]}, 400, retry_after="600"))
    assert verdict.trouble is None
    assert verdict.retry_after == 600
