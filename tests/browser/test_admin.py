"""The admin's pages in Chromium: under a strict policy, without scripts, on phones and desks, in light and dark."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Error, Page, expect

from mail_oauth.connect.inviting import Invited, invite
from mail_oauth.managers.vocabulary import EventKind, Status, TroubleKind
from mail_oauth.models import BulkJob, CredentialEvent, ErasedEvent, MailCredentials, ProviderHealth
from mail_oauth.operations.contract import Order
from mail_oauth.operations.jobs import order_job, work
from mail_oauth.operations.use import PAUSE
from mail_oauth.tokens import Secret
from tests.admin.conftest import CHANGELIST, page_of
from tests.browser.audits import inaccessible, picture

pytestmark = [pytest.mark.timeout(240)]


@pytest.fixture
def site(transactional_db, provider, settings, live_server) -> str:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.browser.audits.policy.strict_policy"]
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "REVEAL_TOKENS": True, "BASE_URL": live_server.url}
    return live_server.url


@pytest.fixture
def admin(site) -> User:
    return User.objects.create_superuser("root", email="root@example.com")


@pytest.fixture
def signed_in(site, admin) -> Callable[[Any], None]:
    """Let a browser's context be signed in."""

    def sign_in(context: Any) -> None:
        client = Client()
        client.force_login(admin)
        name = django_settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])

    return sign_in


def token_that_speaks(now: datetime) -> str:
    claims = {
        "aud": "https://outlook.office.com",
        "scp": "IMAP.AccessAsUser.All SMTP.Send",
        "tid": "5f3c1f2e-8f5b-4d7e-9a35-1f0f5c1d2b7a",
        "appid": "0f7c1c0e-3a1c-4c55-8d6a-2f6f3d9c9b11",
        "exp": int((now + timedelta(hours=1)).timestamp()),
    }
    return jwt.encode(claims, "a key of the tests that is long enough", algorithm="HS256")


@pytest.fixture
def mailbox(connect, user) -> MailCredentials:
    """One with a history."""
    User.objects.filter(pk=user.pk).update(username="ada", email="ada@elsewhere.example")
    now = timezone.now()
    row = connect("google", email="ada.lovelace@example.com", connected_at=now - timedelta(days=40))
    row.refresh_now()
    MailCredentials.objects.filter(pk=row.pk).update(
        last_used_at=now - timedelta(minutes=4),
        refresh_token_expires_at=now + timedelta(days=140),
        access_token=row.sealed("access_token", Secret(token_that_speaks(now))),
    )
    kinds = [EventKind.REFRESHED] * 5 + [EventKind.REFRESH_FAILED, EventKind.RECOVERED, EventKind.PAUSED]
    CredentialEvent.objects.bulk_create(
        CredentialEvent(
            credentials=row,
            kind=kind,
            reason="http_503" if kind == EventKind.REFRESH_FAILED else "",
            created_at=now - timedelta(hours=2**place),
            generation=place,
            actor=user if kind == EventKind.PAUSED else None,
        )
        for place, kind in enumerate(kinds)
    )
    return MailCredentials.objects.get(pk=row.pk)


@pytest.fixture
def lost(connect) -> MailCredentials:
    return connect(email="lost@example.com", status=Status.NEEDS_REAUTH, status_reason="invalid_grant")


@pytest.fixture
def job(user, provider, admin, lost) -> BulkJob:
    """One under way."""
    rows = [MailCredentials(user=user, provider="google", email=f"m{place:02}@example.com") for place in range(12)]
    MailCredentials.objects.bulk_create(rows)
    made = order_job(PAUSE, [row.pk for row in rows], Order(actor=admin))
    for _ in range(5):
        work(made, seconds=-1)
    return made


@pytest.fixture
def lane(provider) -> ProviderHealth:
    now = timezone.now()
    return ProviderHealth.objects.create(
        provider="google",
        trouble=TroubleKind.REAUTH,
        held=True,
        reason="invalid_grant",
        held_since=now,
        held_until=now + timedelta(minutes=42),
    )


@pytest.fixture
def pages(mailbox, lost, job, lane) -> dict[str, str]:
    """Every page, by a name for its picture."""
    today = timezone.now().date()
    ErasedEvent.objects.create(happened_on=today, provider="google", kind="refresh_failed", reason="http_503")
    return {
        "list": CHANGELIST,
        "mailbox": page_of(mailbox),
        "needs-reauth": page_of(lost),
        "reveal": page_of(mailbox, "reveal/"),
        "jobs": "/admin/mail_oauth/bulkjob/",
        "job": f"/admin/mail_oauth/bulkjob/{job.pk}/change/",
        "health": "/admin/mail_oauth/providerhealth/",
        "lane": f"/admin/mail_oauth/providerhealth/{lane.pk}/change/",
        "hold": "/admin/mail_oauth/providerhealth/hold/",
        "events": "/admin/mail_oauth/credentialevent/",
        "erased": "/admin/mail_oauth/erasedevent/",
    }


@pytest.fixture
def plain(browser: Browser, signed_in) -> Iterator[Page]:
    """A signed-in tab that runs no script."""
    context = browser.new_context(java_script_enabled=False)
    signed_in(context)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_the_screen_and_breaks_no_policy(browser, site, signed_in, pages, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    signed_in(context)
    page = context.new_page()
    said: list[str] = []
    found: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Security Policy" in message.text else None)
    for name, path in pages.items():
        page.goto(site + path)
        picture(page, f"{name}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found += [f"{name}: {finding}" for finding in inaccessible(page)]
    context.close()
    assert said == []
    assert found == [], "\n".join(found)


def test_asking_a_user_to_reconnect_works_without_scripts(plain, site, lost, mailoutbox):
    User.objects.filter(pk=lost.user.pk).update(email="ada@elsewhere.example")
    plain.goto(site + page_of(lost))
    plain.get_by_role("button", name="Ask to reconnect").click()
    expect(plain.get_by_role("heading", name="Are you sure?")).to_be_visible()
    expect(plain.get_by_text("link that works once")).to_be_visible()
    picture(plain, "question")
    plain.get_by_role("button", name="Yes: Ask to reconnect").click()
    expect(plain.get_by_text("its user was sent a link to reconnect it")).to_be_visible()
    (message,) = mailoutbox
    assert message.to == ["ada@elsewhere.example"]


def test_the_user_follows_the_link_signs_in_and_reconnects(browser, site, lost, mailoutbox, provider):
    """On a phone, and without scripts."""
    User.objects.filter(pk=lost.user.pk).update(email="ada@elsewhere.example")
    lost.user.set_password("password")
    User.objects.filter(pk=lost.user.pk).update(password=lost.user.password, is_staff=True)
    assert invite(MailCredentials.objects.get(pk=lost.pk)) is Invited.SENT
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 700})
    page = context.new_page()
    page.set_content(mailoutbox[0].alternatives[0][0])
    picture(page, "mail")
    page.get_by_role("link", name="Reconnect mailbox").click()
    page.get_by_label("Username").fill(User.objects.get(pk=lost.user.pk).username)
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Reconnect lost@example.com")).to_be_visible()
    picture(page, "reconnect")
    page.get_by_role("button", name="Reconnect").click()
    expect(page.get_by_role("button", name="Allow")).to_be_visible()  # at the provider
    context.close()


def test_a_token_is_shown_for_a_reason(plain, site, mailbox):
    plain.goto(site + page_of(mailbox))
    plain.get_by_role("link", name="Show a token").click()
    plain.get_by_label("access token").check()
    plain.get_by_label("Reason").fill("Ticket 4711: the mail host asks for it")
    plain.get_by_role("button", name="Show").click()
    expect(plain.locator(".mail-oauth-revealed")).to_be_visible()
    picture(plain, "revealed")
    plain.get_by_role("link", name="Back to the mailbox").click()
    expect(plain.get_by_text("Ticket 4711")).to_be_visible()
    with contextlib.suppress(Error):  # the browser kept nothing that it could go back to
        plain.go_back()
    expect(plain.locator(".mail-oauth-revealed")).to_have_count(0)


def test_many_are_operated_on_from_the_list_and_the_page_of_their_job_follows(plain, site, job):
    plain.goto(f"{site}{CHANGELIST}?q=example.com")
    for box in plain.locator("input.action-select").all():
        box.check()
    plain.get_by_label("Action:").select_option("pause")
    plain.get_by_role("button", name="Go").click()
    plain.get_by_role("button", name="Yes: Switch OAuth off").click()
    expect(plain.get_by_text("OAuth is switched off").first).to_be_visible()

    plain.goto(f"{site}/admin/mail_oauth/bulkjob/{job.pk}/change/")
    expect(plain.get_by_text("5 of 12 mailboxes")).to_be_visible()
    work(job, seconds=60)
    expect(plain.get_by_text("12 of 12 mailboxes")).to_be_visible()  # it asks for itself


def test_a_job_can_be_stopped(plain, site, job):
    plain.goto(f"{site}/admin/mail_oauth/bulkjob/{job.pk}/change/")
    plain.get_by_role("button", name="Stop").click()
    expect(plain.get_by_text("Stopped: no further mailbox is begun.")).to_be_visible()
    expect(plain.get_by_text("left out")).to_be_visible()


def test_the_brake_is_released_on_the_page_of_its_lane(plain, site, lane):
    plain.goto(f"{site}/admin/mail_oauth/providerhealth/{lane.pk}/change/")
    plain.get_by_role("button", name="Release").click()
    plain.get_by_role("button", name="Yes: Release").click()
    expect(plain.get_by_text("released; users are told of refused grants again")).to_be_visible()


def test_calls_are_held_by_a_form(plain, site, lane):
    plain.goto(f"{site}/admin/mail_oauth/providerhealth/")
    plain.get_by_role("link", name="Hold calls").click()
    plain.get_by_label("Provider").select_option("microsoft")
    plain.get_by_label("For").select_option("14400")
    plain.get_by_role("button", name="Hold calls").click()
    expect(plain.get_by_text("held by staff: held for 4 h.")).to_be_visible()


def test_the_timeline_is_reached_by_keyboard(page, site, signed_in, mailbox):
    signed_in(page.context)
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(site + page_of(mailbox))
    region = page.get_by_role("region", name="Picture of the timeline")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.mail-oauth-scroll').scrollLeft > 0")
    page.get_by_text("The same as a list").click()
    expect(page.locator(".mail-oauth-as-list").get_by_text("refresh failed (http_503)")).to_be_visible()
