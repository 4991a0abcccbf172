"""What holds the calls of a provider is shown, with who must act, and staff may try or release it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.admin import health
from mail_oauth.admin.lanes import lane_badge, what_to_do
from mail_oauth.admin.notices import Badge, Level
from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.managers.health import board
from mail_oauth.managers.vocabulary import Status, TroubleKind
from mail_oauth.models import MailCredentials, ProviderHealth
from mail_oauth.refresh.classification import Trouble
from mail_oauth.testing.faults import Fault
from tests.admin.conftest import page_of
from tests.telling import said

LANES = "/admin/mail_oauth/providerhealth/"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def hold(db, provider):
    """Hold a lane: `hold("google", "", Trouble.CLIENT)`."""

    def make(alias="google", tenant="", trouble=Trouble.CLIENT, reason="invalid_client", seconds=330.0):
        return ProviderHealth.objects.all().hold(alias, tenant, trouble, reason=reason, seconds=seconds)

    return make


def act(browser, name: str, lanes, **data):
    """Run an action on lanes of the list, and answer its question with yes, unless `confirmed` is None."""
    selected = [str(lane.pk) for lane in lanes]
    data = {"confirmed": "yes", **data}
    if data["confirmed"] is None:
        del data["confirmed"]
    return browser.post(LANES, {"action": name, "_selected_action": selected, "index": "0", **data})


def press(browser, lane, name: str, **data):
    """Press a button of a lane's page."""
    return browser.post(f"{LANES}{lane.pk}/operation/{name}/", data)


def shown(response) -> list[str]:
    return [row.provider for row in response.context["cl"].result_list]


def again(lane) -> ProviderHealth:
    return ProviderHealth.objects.get(pk=lane.pk)


def line(lane) -> str:
    return f"{LANES}{lane.pk}/change/"


# --- words ---


@pytest.mark.parametrize(
    ("trouble", "held_until", "level", "words"),
    [
        (Trouble.CLIENT, NOW + MINUTE, Level.BAD, "held"),
        (Trouble.CLIENT, NOW - MINUTE, Level.WAIT, "trying soon"),
        (Trouble.REAUTH, NOW + MINUTE, Level.BAD, "held"),
        (Trouble.REAUTH, NOW - MINUTE, Level.WAIT, "ends soon"),
        (Trouble.OUTAGE, None, Level.GOOD, "free"),
    ],
)
def test_the_state_of_a_lane_is_said_in_words(trouble, held_until, level, words):
    row = ProviderHealth(trouble=trouble.value, held=held_until is not None, held_until=held_until)
    assert lane_badge(row, NOW) == Badge(level, words)


@pytest.mark.parametrize("trouble", TroubleKind)
def test_every_trouble_says_who_acts_while_it_lasts(trouble):
    row = ProviderHealth(trouble=trouble, held=True)
    assert what_to_do(row)
    row.held = False
    assert "Nobody has to act" in what_to_do(row)


# --- the list ---


def test_a_row_says_what_is_held_why_and_until_when(root, hold):
    hold(tenant="corp-tenant")
    text = " ".join(root.get(LANES).content.decode().split())
    for words in (
        "Google",
        "corp-tenant",
        "client authentication refused",
        '<span class="mail-oauth-badge mail-oauth-bad">held</span>',
        "invalid_client",
        "in 5 min",
    ):
        assert words in text, words


def test_what_is_held_comes_first_and_the_newest_of_it(root, hold):
    free, old, _new = hold("google"), hold("microsoft"), hold("plain")
    ProviderHealth.objects.filter(pk=free.pk).release(free.pk)
    ProviderHealth.objects.filter(pk=old.pk).update(held_since=timezone.now() - MINUTE)
    assert shown(root.get(LANES)) == ["plain", "microsoft", "google"]


def test_filters_part_the_list(root, hold):
    free = hold("google")
    ProviderHealth.objects.all().release(free.pk)
    hold("microsoft", trouble=Trouble.OUTAGE)
    hold("former", trouble=Trouble.REAUTH)
    for query, expected in (
        ({"held__exact": "1"}, {"microsoft", "former"}),
        ({"held__exact": "0"}, {"google"}),
        ({"trouble__exact": "outage"}, {"microsoft"}),
        ({"provider": "google"}, {"google"}),
        ({"provider": "-"}, {"former"}),
    ):
        assert set(shown(root.get(LANES, query))) == expected, query


def test_the_number_of_queries_does_not_grow_with_the_rows(root, hold):
    hold()
    root.get(LANES)
    with CaptureQueriesContext(connection) as few:
        root.get(LANES)
    for number in range(20):
        hold(tenant=f"tenant{number}")
    with CaptureQueriesContext(connection) as many:
        root.get(LANES)
    assert len(many) == len(few) == 4  # session, person, count, rows


def test_a_spoilt_settings_dict_breaks_no_page(root, hold, settings):
    lane = hold()
    settings.MAIL_OAUTH = {"PROVIDER": {}}
    assert root.get(LANES).status_code == 200
    assert root.get(line(lane)).status_code == 200


def test_the_page_of_a_lane_says_what_to_do_and_has_nothing_to_save(root, hold):
    lane = hold()
    text = root.get(line(lane)).content.decode()
    assert "mend it in MAIL_OAUTH[&quot;PROVIDERS&quot;]" in text
    assert 'name="_save"' not in text
    assert "deletelink" not in text


# --- permissions ---


def test_nobody_adds_changes_or_deletes_a_lane(root, hold):
    lane = hold()
    for address in (f"{LANES}add/", line(lane), f"{LANES}{lane.pk}/delete/"):
        assert root.post(address, {"reason": "forged", "post": "yes"}).status_code == 403, address
    assert act(root, "delete_selected", [lane], post="yes").status_code == 403
    assert again(lane).reason == "invalid_client"


def test_who_may_only_look_sees_no_actions_and_is_refused_them(hold, staff, signed_in):
    lane = hold()
    browser = signed_in(staff("view", model="providerhealth"))
    response = browser.get(LANES)
    assert "release" not in dict(response.context["cl"].model_admin.get_action_choices(response.wsgi_request))
    assert '<select name="action"' not in response.content.decode()
    assert browser.get(line(lane)).status_code == 200
    for name in ("try_now", "release"):
        assert act(browser, name, [lane]).status_code == 403
    assert again(lane).held_until == lane.held_until


def test_who_may_not_look_is_refused(hold, staff, signed_in):
    lane = hold()
    browser = signed_in(staff("view", "change"))
    assert browser.get(LANES).status_code == 403
    assert browser.get(line(lane)).status_code == 403
    assert act(browser, "release", [lane]).status_code == 403
    assert again(lane).held


@pytest.mark.parametrize("name", ["try_now", "release"])
def test_the_permission_to_release_opens_the_actions_and_no_other_does(hold, staff, signed_in, name):
    lane = hold()
    others = signed_in(staff("view", "change", "hold", model="providerhealth"))
    assert act(others, name, [lane]).status_code == 403
    assert press(others, lane, name, confirmed="yes").status_code == 403
    assert "/operation/" not in others.get(line(lane)).content.decode()
    browser = signed_in(staff("view", "release", model="providerhealth"))
    assert press(browser, lane, name, confirmed="yes").status_code == 302
    assert act(browser, name, [lane]).status_code == 302
    assert browser.get(f"{LANES}hold/").status_code == 403


def test_holding_has_a_permission_of_its_own(hold, staff, signed_in):
    others = signed_in(staff("view", "change", "release", model="providerhealth"))
    assert others.get(f"{LANES}hold/").status_code == 403
    assert "Hold calls" not in others.get(LANES).content.decode()
    assert "Hold calls" in signed_in(staff("view", "hold", model="providerhealth")).get(LANES).content.decode()


# --- the actions ---


def test_try_now_lets_the_next_call_try_whose_success_releases(root, hold, connect):
    mailbox, lane = connect("google", seconds_left=-10), hold()
    with pytest.raises(ProviderUnavailable):
        mailbox.get_access_token()
    assert said(act(root, "try_now", [lane])) == [f"{lane}: the next call that is due tries."]
    text = root.get(LANES).content.decode()
    assert "trying soon" in text
    assert '<td class="field-next_trial">due</td>' in text
    assert MailCredentials.objects.get(pk=mailbox.pk).get_access_token()
    assert not again(lane).held


def test_try_now_says_where_there_is_nothing_to_try(root, hold):
    brake, free = hold(trouble=Trouble.REAUTH), hold("plain")
    ProviderHealth.objects.all().release(free.pk)
    told = said(act(root, "try_now", [brake, free]))
    assert f"{brake}: it holds no calls that could try; “Release” ends it." in told
    assert f"{free}: it is not held." in told
    assert again(brake).held_until == brake.held_until


def test_release_ends_holds_and_the_brake_at_once(root, hold, connect):
    mailbox, lane, brake = connect("google", seconds_left=-10), hold(), hold(trouble=Trouble.REAUTH)
    told = said(act(root, "release", [lane, brake]))
    assert f"{lane}: released; calls are made again as they fall due." in told
    assert f"{brake}: released; users are told of refused grants again." in told
    assert not ProviderHealth.objects.filter(held=True).exists()
    assert mailbox.get_access_token()
    assert said(act(root, "release", [lane])) == [*told, f"{lane}: it is not held."]


def test_what_was_done_stands_in_the_log_of_the_admin(root, hold, superuser):
    lane = hold()
    act(root, "try_now", [lane])
    act(root, "release", [lane])
    entries = LogEntry.objects.filter(user=superuser, object_id=str(lane.pk)).order_by("pk")
    assert [entry.change_message.partition(":")[0] for entry in entries] == ["Try now", "Release"]


def test_too_many_at_once_are_refused(root, hold, monkeypatch):
    lanes = [hold(tenant=f"tenant{number}") for number in range(3)]
    monkeypatch.setattr(health, "AT_ONCE", 2)
    assert said(act(root, "release", lanes)) == ["Nothing was done: select at most 2 lanes for “Release”."]
    assert ProviderHealth.objects.filter(held=True).count() == 3


@pytest.mark.parametrize("name", ["try_now", "release"])
def test_the_page_of_a_lane_has_the_buttons_while_it_is_held(root, hold, name):
    lane = hold()
    address = f"{LANES}{lane.pk}/operation/{name}/"
    assert address in root.get(line(lane)).content.decode()
    assert root.get(address).status_code == 405
    assert press(root, lane, "drop").status_code == 404
    press(root, lane, "release", confirmed="yes")
    assert address not in root.get(line(lane)).content.decode()


def test_the_brake_has_no_button_to_try_what_it_does_not_hold(root, hold):
    text = root.get(line(hold(trouble=Trouble.REAUTH))).content.decode()
    assert "/operation/release/" in text
    assert "/operation/try_now/" not in text


def test_releasing_asks_first(root, hold):
    lane = hold(trouble=Trouble.REAUTH)
    for question in (act(root, "release", [lane], confirmed=None), press(root, lane, "release")):
        text = question.content.decode()
        assert str(lane) in text
        assert "users are told at once" in text
    assert again(lane).held


# --- holding by hand ---


def hold_calls(browser, **data):
    return browser.post(f"{LANES}hold/", {"provider": "google", "tenant": "", "seconds": "3600", **data})


def test_held_by_hand_no_call_is_made_whoever_asks(root, connect, provider, posts):
    mailbox, other = connect("google", seconds_left=-10), connect("microsoft", seconds_left=-10)
    (message,) = said(hold_calls(root))
    assert message == "google: held by staff: held for 60 min."
    for ask in (mailbox.get_access_token, mailbox.refresh_now):
        with pytest.raises(ProviderUnavailable, match="by_hand"):
            ask()
    assert posts(mailbox) == 0
    assert other.get_access_token()


def test_a_token_that_is_still_good_is_given_out_meanwhile(root, connect):
    mailbox = connect("google")
    hold_calls(root)
    assert mailbox.get_access_token()


def test_one_organisation_may_be_held(root, connect):
    mailbox, other = (connect("google", tenant=tenant, seconds_left=-10) for tenant in ("corp", "acme"))
    hold_calls(root, tenant="corp")
    with pytest.raises(ProviderUnavailable):
        mailbox.get_access_token()
    assert other.get_access_token()


def test_when_the_time_is_over_one_call_tries_and_its_success_releases(root, connect):
    mailbox = connect("google", seconds_left=-10)
    hold_calls(root)
    ProviderHealth.objects.update(held_until=timezone.now() - MINUTE)
    board.forget()
    assert mailbox.get_access_token()
    assert not ProviderHealth.objects.filter(held=True).exists()


def test_a_hold_by_hand_is_released_like_any_other(root, connect, superuser):
    mailbox = connect("google", seconds_left=-10)
    hold_calls(root)
    lane = ProviderHealth.objects.get()
    assert headlines(root, mailbox)[-1] == "Calls of its provider are held (by_hand)."
    act(root, "release", [lane])
    assert mailbox.get_access_token()
    entries = LogEntry.objects.filter(user=superuser).order_by("pk").values_list("change_message", flat=True)
    assert [entry.partition(":")[0] for entry in entries] == ["Hold calls", "Release"]


@pytest.mark.parametrize("data", [{"provider": "unknown"}, {"seconds": "1"}, {"tenant": "x" * 129}])
def test_what_cannot_be_held_is_said_on_the_page(root, provider, data):
    response = hold_calls(root, **data)
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not ProviderHealth.objects.exists()


def test_a_spoilt_settings_dict_breaks_not_the_page_of_holding(root, settings):
    settings.MAIL_OAUTH = {"PROVIDER": {}}
    assert root.get(f"{LANES}hold/").status_code == 200


def test_the_pages_of_lanes_cost_few_queries(root, hold, django_assert_num_queries):
    lane = hold()
    root.get(line(lane))
    for address, queries in ((line(lane), 4), (f"{LANES}hold/", 2)):
        with django_assert_num_queries(queries):
            root.get(address)
    with django_assert_num_queries(4):  # session, person, count, lanes
        act(root, "release", [lane], confirmed=None)


# --- the page of a mailbox ---


def headlines(browser, mailbox) -> list[str]:
    return [notice.headline for notice in browser.get(page_of(mailbox)).context["inspection"].notices]


def test_a_mailbox_says_that_its_lane_is_held(root, hold, connect):
    mailbox, other = connect("google", tenant="corp"), connect("microsoft")
    hold()
    assert headlines(root, mailbox) == ["Calls of its provider are held (invalid_client)."]
    assert headlines(root, other) == ["Connected."]
    hold(tenant="corp", reason="org_internal", trouble=Trouble.CONFIGURATION, seconds=900)
    assert headlines(root, mailbox) == ["Calls for its organisation are held at the provider (org_internal)."]


def test_a_mailbox_that_is_not_called_says_nothing_of_it(root, hold, connect):
    mailbox = connect("google", status=Status.DISCONNECTED)
    hold()
    assert len(headlines(root, mailbox)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_hold_costs_the_page_one_query(root, hold, connect):
    mailbox = connect("google")
    hold()
    root.get(page_of(mailbox))
    board.forget()
    with CaptureQueriesContext(connection) as queries:
        assert len(headlines(root, mailbox)) == 1
    assert len(queries) == 5  # session, person, mailbox with its user, holds, history


def test_a_refusal_under_the_brake_says_that_the_user_is_not_told_yet(root, connect, provider, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BRAKE_COUNT": 2}
    mailboxes = [connect(tenant="corp", seconds_left=-10) for _ in range(2)]
    with provider.fault(Fault.oauth_error("invalid_grant", aadsts=70000)):
        for mailbox in mailboxes:
            with pytest.raises(Exception, match="70000"):
                mailbox.get_access_token()
    for mailbox in mailboxes:
        (headline,) = headlines(root, mailbox)
        assert "so many others at once that its user is not told yet (AADSTS70000)" in headline


def test_a_narrower_grant_is_said(root, connect):
    mailbox = connect("google", status_reason="scope_missing", requested_scopes="a b", granted_scopes="a")
    assert headlines(root, mailbox) == ["The provider grants fewer mail scopes than were asked for."]
