"""Staff with the permission can have things done to mailboxes; everybody else is refused."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import resolve
from django.utils import timezone

from mail_oauth.cache import TokenCache, token_cache
from mail_oauth.connect.disconnect import disconnect, retry_revocation
from mail_oauth.connect.switch import pause, resume
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.operations.catalogue import OPERATIONS
from mail_oauth.operations.contract import NOT_OFFERED
from mail_oauth.providers import Revocation
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import AccessToken
from tests.admin.conftest import CHANGELIST, page_of
from tests.telling import said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_mail_servers")]


def press(browser, mailbox, name: str, **data):
    """Press a button of the inspection page."""
    return browser.post(page_of(mailbox, f"operation/{name}/"), data)


def act(browser, name: str, mailboxes, **data):
    """Run an action on mailboxes of the list, and answer its question with yes, unless `confirmed` is None."""
    selected = [str(mailbox.pk) for mailbox in mailboxes]
    data = {"confirmed": "yes", **data}
    if data["confirmed"] is None:
        del data["confirmed"]
    return browser.post(CHANGELIST, {"action": name, "_selected_action": selected, "index": "0", **data})


PERMISSIONS = {"refresh", "test_sign_in", "rebuild", "ask_reconnect", "pause", "disconnect", "reveal"}


def again(mailbox) -> MailCredentials:
    return MailCredentials.objects.get(pk=mailbox.pk)


# --- what they do ---


def test_refresh_now_refreshes_a_token_that_is_still_good(root, connect, provider):
    mailbox = connect()
    response = press(root, mailbox, "refresh_now")
    assert response.status_code == 302
    assert response.url == page_of(mailbox)
    assert again(mailbox).generation == mailbox.generation + 1
    (message,) = said(response)
    assert message == f"{mailbox.email}: refreshed; the new token is valid for 60 minutes."


def test_an_address_stands_on_the_page_as_it_is(root, connect, provider):
    mailbox = connect(email="ada@example.com")
    press(root, mailbox, "refresh_now")
    told = re.findall(r'<li class="success">(.*?)</li>', root.get(page_of(mailbox)).content.decode())
    assert told == ["<bdi>ada@example.com</bdi>: refreshed; the new token is valid for 60 minutes."]


@pytest.mark.parametrize(("seconds", "minutes"), [(10, 1), (80, 1), (119, 2), (3599, 60)])
def test_a_token_s_life_is_told_in_minutes_to_the_nearest(seconds, minutes):
    now = timezone.now()
    token = AccessToken("t", issued_at=now, expires_at=now + timedelta(seconds=seconds + 0.5), generation=1)
    assert token.minutes_left() == minutes


def test_each_row_of_a_bulk_refresh_is_told_with_its_reason(root, connect, provider):
    good, lost = connect(email="good@example.com"), connect(email="lost@example.com")
    provider.revoke(lost.email)
    first, second = said(act(root, "refresh_now", [good, lost]))
    assert first.startswith("good@example.com: refreshed")
    assert second.startswith("lost@example.com: its user must connect it again (")
    assert again(lost).status == Status.NEEDS_REAUTH


def test_a_providers_fault_is_told_and_costs_nothing(root, connect, provider):
    mailbox = connect()
    provider.fail_next(1, Fault.html())
    (message,) = said(press(root, mailbox, "refresh_now"))
    assert "not refreshed; the grant is kept and tried again (http_502)" in message
    assert again(mailbox).status == Status.CONNECTED


def test_a_refresh_whose_alias_left_the_settings_is_told(root, connect, settings):
    mailbox = connect()
    settings.MAIL_OAUTH = {"PROVIDERS": {}}
    (message,) = said(press(root, mailbox, "refresh_now"))
    assert "(configuration)" in message


def test_rebuilding_puts_right_whatever_stands_in_the_cache(root, connect, any_cache):
    mailbox = connect()
    token_cache.bury(mailbox.pk, 99)
    assert said(press(root, mailbox, "rebuild_cache_entry")) == [f"{mailbox.email}: the cache entry was rebuilt."]
    assert token_cache.get(mailbox.pk) == mailbox.open_access_token()


def test_rebuilding_leaves_no_token_of_a_mailbox_out_of_use(root, connect, locmem_cache):
    mailbox = connect()
    mailbox.get_access_token()
    MailCredentials.objects.filter(pk=mailbox.pk).update(use_oauth=False)
    (message,) = said(press(root, mailbox, "rebuild_cache_entry"))
    assert "tombstone" in message
    assert token_cache.get(mailbox.pk) is None


def test_rebuilding_with_an_expired_or_unreadable_token_says_so(root, connect, settings):
    expired, unreadable = connect(seconds_left=-10), connect()
    (message,) = said(press(root, expired, "rebuild_cache_entry"))
    assert "the next refresh fills it" in message
    settings.FERNET_KEYS = ["another key"]
    (_first, message) = said(press(root, unreadable, "rebuild_cache_entry"))
    assert "cannot be decrypted" in message


def test_rebuilding_never_outlives_a_disconnect_in_the_same_moment(root, connect, locmem_cache, monkeypatch):
    mailbox = connect()

    def forget_late(cache, pk, resource="mail"):
        disconnect(again(mailbox))
        monkeypatch.undo()
        cache.forget(pk, resource)

    monkeypatch.setattr(TokenCache, "forget", forget_late)
    (message,) = said(press(root, mailbox, "rebuild_cache_entry"))
    assert "it changed meanwhile" in message
    assert token_cache.get(mailbox.pk) is None


def test_oauth_is_switched_off_and_on_by_name(root, superuser, connect):
    mailbox = connect()
    assert said(press(root, mailbox, "pause", confirmed="yes")) == [
        f"{mailbox.email}: OAuth is switched off; the tokens are kept."
    ]
    assert again(mailbox).use_oauth is False
    assert again(mailbox).refresh_token is not None
    press(root, mailbox, "resume")
    assert again(mailbox).use_oauth is True
    kinds = mailbox.events.order_by("pk").values_list("kind", "actor")
    assert list(kinds) == [(EventKind.PAUSED, superuser.pk), (EventKind.RESUMED, superuser.pk)]


def test_what_is_done_already_is_said_and_not_done_again(root, connect):
    mailbox = connect(use_oauth=False)
    (message,) = said(act(root, "pause", [mailbox]))
    assert "already" in message
    assert not mailbox.events.exists()


def test_disconnecting_asks_first_and_names_the_mailboxes(root, connect, provider):
    mailboxes = [connect("google"), connect("microsoft")]
    question = act(root, "disconnect", mailboxes, confirmed=None)
    assert question.status_code == 200
    for mailbox in mailboxes:
        assert mailbox.email in question.content.decode()
        assert again(mailbox).status == Status.CONNECTED
    answer = act(root, "disconnect", mailboxes)
    google, microsoft = sorted(said(answer), key=lambda text: "revoked" not in text)
    assert google == f"{mailboxes[0].email}: disconnected; the grant was revoked at the provider."
    assert microsoft.startswith(f"{mailboxes[1].email}: disconnected; its provider has no way to revoke")
    assert microsoft.endswith(" there: https://myapps.microsoft.com/.")
    assert not MailCredentials.objects.present().exists()


def test_the_button_asks_first_too(root, connect):
    mailbox = connect("google")
    question = press(root, mailbox, "disconnect").content.decode()
    assert mailbox.email in question
    assert page_of(mailbox) in question  # the way back
    assert again(mailbox).status == Status.CONNECTED
    press(root, mailbox, "disconnect", confirmed="yes")
    assert again(mailbox).status == Status.DISCONNECTED


def test_a_mailbox_that_was_deleted_meanwhile_is_not_found(root, connect):
    mailbox = connect()
    address = page_of(mailbox, "operation/refresh_now/")
    MailCredentials.objects.all().delete()
    assert root.post(address).status_code == 404


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_written_to_the_log_of_the_admin(root, superuser, connect, name):
    mailbox = connect(use_oauth=name != "resume")
    press(root, mailbox, name, confirmed="yes")
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user) == (str(mailbox.pk), superuser)
    assert entry.change_message.startswith(str(OPERATIONS[name].label))


# --- and for whom ---


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_who_may_only_look_has_no_buttons_and_is_refused(connect, staff, signed_in, name):
    mailbox = connect()
    browser = signed_in(staff("view"))
    assert "/operation/" not in browser.get(page_of(mailbox)).content.decode()
    assert f'value="{name}"' not in browser.get(CHANGELIST).content.decode()
    assert press(browser, mailbox, name, confirmed="yes").status_code == 403
    assert act(browser, name, [mailbox], confirmed="yes").status_code == 403
    assert browser.post(page_of(mailbox)).status_code == 403
    untouched = again(mailbox)
    assert (untouched.generation, untouched.status) == (mailbox.generation, Status.CONNECTED)
    assert not LogEntry.objects.exists()


def test_who_may_not_look_sees_nothing(connect, staff, signed_in):
    mailbox = connect()
    browser = signed_in(staff("view", model="credentialevent"))
    assert browser.get(CHANGELIST).status_code == 403
    assert browser.get(page_of(mailbox)).status_code == 403


EVERY = [*PERMISSIONS, "view"]


def test_there_are_the_buttons_that_fit_the_state(connect, staff, signed_in):
    browser = signed_in(staff(*EVERY))

    def buttons(mailbox) -> set[str]:
        return {operation.name for operation in browser.get(page_of(mailbox)).context["operations"]}

    always = {"rebuild_cache_entry"}
    present = always | {"ask_to_reconnect", "disconnect"}
    assert buttons(connect()) == present | {"refresh_now", "test_sign_in", "pause"}
    assert buttons(connect(use_oauth=False)) == present | {"resume"}
    assert buttons(connect(status=Status.DISCONNECTED)) == always
    assert "deletelink" not in browser.get(page_of(connect())).content.decode()


@pytest.mark.parametrize(
    ("columns", "remedy"),
    [
        ({}, "refresh_now"),
        ({"status": Status.NEEDS_REAUTH}, "ask_to_reconnect"),
        ({"status": Status.NEEDS_ADMIN}, "refresh_now"),
        ({"status": Status.UNREADABLE, "status_reason": "altered"}, "ask_to_reconnect"),
        ({"status": Status.UNREADABLE, "status_reason": "key_missing"}, None),
        ({"use_oauth": False}, "resume"),
        ({"status": Status.DISCONNECTED}, None),
    ],
)
def test_the_button_that_mends_it_stands_out(root, connect, columns, remedy):
    text = root.get(page_of(connect(**columns))).content.decode()
    standing_out = re.findall(r'operation/(\w+)/">(?:(?!</form>).)*class="button default"', text, re.DOTALL)
    assert standing_out == ([remedy] if remedy else [])


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_operation_has_a_permission_that_opens_it_and_no_other(connect, provider, staff, signed_in, name):
    mailbox = connect("google", use_oauth=name != "resume")
    needed = set(OPERATIONS[name].permissions) - {"delete"}
    others = signed_in(staff("view", "change", *(PERMISSIONS - needed)))
    assert press(others, mailbox, name, confirmed="yes").status_code == 403
    assert act(others, name, [mailbox]).status_code == 403
    assert f"/operation/{name}/" not in others.get(page_of(mailbox)).content.decode()
    browser = signed_in(staff("view", *needed))
    assert f'value="{name}"' in browser.get(CHANGELIST).content.decode()
    assert press(browser, mailbox, name, confirmed="yes").status_code == 302


def test_who_may_delete_may_disconnect_and_nothing_else(connect, staff, signed_in):
    mailbox = connect("google")
    browser = signed_in(staff("view", "delete"))
    assert press(browser, mailbox, "refresh_now").status_code == 403
    assert press(browser, mailbox, "disconnect", confirmed="yes").status_code == 302
    assert again(mailbox).status == Status.DISCONNECTED


# --- what stays of it ---

OWN_EVENT = {
    "refresh_now": EventKind.REFRESH_ORDERED,
    "test_sign_in": EventKind.SIGN_IN_TESTED,
    "ask_to_reconnect": EventKind.RECONNECT_ASKED,
    "rebuild_cache_entry": EventKind.CACHE_REBUILT,
    "pause": EventKind.PAUSED,
    "resume": EventKind.RESUMED,
    "disconnect": EventKind.DISCONNECTED,
}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_leaves_one_event_that_says_who_had_it_done(root, superuser, connect, name):
    mailbox = connect(use_oauth=name != "resume")
    press(root, mailbox, name, confirmed="yes")
    assert mailbox.events.get(actor=superuser).kind == OWN_EVENT[name]


def test_the_event_of_what_failed_has_the_reason(root, superuser, connect, provider):
    mailbox = connect()
    provider.fail_next(1, Fault.html())
    press(root, mailbox, "refresh_now")
    event = mailbox.events.get(actor=superuser)
    assert (event.kind, event.reason) == (EventKind.REFRESH_ORDERED, "http_502")


# --- questions ---


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_many_are_operated_on_after_a_question_that_says_what_will_happen(root, connect, name):
    mailbox = connect(use_oauth=name != "resume")
    question = act(root, name, [mailbox], confirmed=None)
    assert question.status_code == 200
    assert str(OPERATIONS[name].warning) in html.unescape(question.content.decode())
    assert not mailbox.events.exists()
    assert again(mailbox).generation == mailbox.generation


def test_a_question_about_many_names_some_and_counts_all(root, connect, user):
    connect()
    MailCredentials.objects.bulk_create(
        MailCredentials(user=user, provider="google", email=f"m{number:02}@example.com") for number in range(60)
    )
    some = MailCredentials.objects.all()[:2]
    question = act(root, "pause", some, confirmed=None, select_across="1").content.decode()
    assert "61 mailboxes" in question
    assert "and 41 more" in question
    assert '<input type="hidden" name="select_across" value="1">' in question


# --- the request ---


def test_an_operation_is_only_posted_and_needs_the_csrf_token(root, superuser, connect):
    from django.test import Client

    mailbox = connect()
    address = page_of(mailbox, "operation/refresh_now/")
    assert root.get(address).status_code == 405
    assert root.post(page_of(mailbox, "operation/drop_table/")).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(superuser)
    assert strict.post(address).status_code == 403
    assert again(mailbox).generation == mailbox.generation


def test_a_refresh_is_saved_at_once_where_requests_are_transactions(connect):
    for address in (CHANGELIST, page_of(connect(), "operation/refresh_now/")):
        assert "default" in resolve(address).func._non_atomic_requests


# --- what is not offered is not done either ---


def test_what_has_no_button_is_not_done_by_a_post_or_among_many(root, connect):
    for name, columns in {
        "test_sign_in": {"use_oauth": False},
        "refresh_now": {"status": Status.NEEDS_REAUTH},
        "resume": {"status": Status.DISCONNECTED, "use_oauth": False},
        "disconnect": {"status": Status.DISCONNECTED},
    }.items():
        mailbox = connect(**columns)
        for answer in (press(root, mailbox, name, confirmed="yes"), act(root, name, [mailbox])):
            assert said(answer)[-1] == f"{mailbox.email}: {NOT_OFFERED}."
        assert again(mailbox).generation == mailbox.generation
        assert not mailbox.events.exists()


def test_nobody_is_asked_to_reconnect_what_the_settings_lack(root, connect, settings, mailoutbox):
    mailbox = connect()
    settings.MAIL_OAUTH = {"PROVIDERS": {}}
    (message,) = said(act(root, "ask_to_reconnect", [mailbox]))
    assert "nothing was done" in message
    assert not mailoutbox


@pytest.mark.parametrize("by_staff", [True, False])
def test_a_grant_that_is_still_to_be_revoked_is_revoked_though_oauth_is_switched_on(
    root, connect, provider, by_staff
):
    mailbox = connect("google")
    pause(mailbox)
    provider.fail_next(1, Fault.html(), endpoint="revoke")
    assert disconnect(again(mailbox)) is Revocation.FAILED
    if by_staff:
        act(root, "resume", [mailbox])
    else:
        resume(again(mailbox))
        assert again(mailbox).use_oauth
    assert again(mailbox).refresh_at is not None
    assert retry_revocation(again(mailbox)) is Revocation.REVOKED
    assert again(mailbox).refresh_token is None
