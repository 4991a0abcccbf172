"""The dashboard in Chromium, under a policy that lets nothing inline run: on a phone and a desk, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect

from mail_oauth.managers.counts import slot_of
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import ProviderHealth, RefreshCount
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.browser.audits import inaccessible, picture
from tests.browser.audits.policy import POLICY

DASHBOARD = "/admin/mail_oauth/dashboard/"

LOOKS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]


@pytest.fixture
def troubles(connect: Callable[..., Any]) -> None:
    """Something of everything that the dashboard shows."""
    for status in Status.values:
        connect(status=status)
    connect("google", refresh_failures=1)
    connect("keycloak", refresh_token_expires_at=timezone.now() + timedelta(days=2), use_oauth=True)
    now = timezone.now()
    held = {"held": True, "held_since": now - timedelta(minutes=9), "held_until": now + timedelta(minutes=9)}
    ProviderHealth.objects.create(provider="google", trouble="client", reason="invalid_client", **held)
    ProviderHealth.objects.create(provider="microsoft", tenant="c" * 36, trouble="outage", **held)
    for hours in range(100):
        for outcome, number in (("granted", 400 + hours), ("retry", 3), ("reauth", 1), ("operator", 1)):
            at = slot_of(now - timedelta(hours=hours))
            RefreshCount.objects.create(begins_at=at, provider="google", outcome=outcome, number=number)
    reconcile_cache()


@pytest.fixture
def open_page(browser: Browser, live_server: Any, superuser: Any) -> Iterator[Callable[..., Page]]:
    """Open the dashboard as somebody who may do everything; whatever the browser refuses or throws fails the test."""
    wrong: list[str] = []

    def guarded(route: Route) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, headers={**reply.headers, "content-security-policy": POLICY})

    def opened(width: int, scheme: str) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None
        )
        page.goto(f"{live_server.url}/admin/login/?next={DASHBOARD}")
        page.get_by_label("Username").fill("root")
        page.get_by_label("Password").fill("root")
        page.route(f"{live_server.url}/admin/**", guarded)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
        return page

    yield opened
    assert wrong == []


@pytest.fixture
def superuser(transactional_db: None) -> Any:
    from django.contrib.auth.models import User

    return User.objects.create_superuser("root", password="root")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_fits_the_screen_and_shows_its_charts(open_page, troubles, width, scheme):
    page = open_page(width, scheme)
    picture(page, f"dashboard-{scheme}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    charts = page.get_by_role("img", name="Refreshes")
    expect(charts).to_have_count(3)
    for chart in charts.all():
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > width / 4
        assert box["height"] > 50
    colours = page.evaluate(
        "[...new Set([...document.querySelectorAll('.mail-oauth-legend rect')].map(e => getComputedStyle(e).fill))]"
    )
    assert len(colours) == 5, "each series has a colour of its own, the forecast too"
    assert "rgb(0, 0, 0)" not in colours, "which comes from the stylesheet"
    assert inaccessible(page) == []


def test_a_chart_is_read_as_a_table_with_the_keyboard(open_page, troubles):
    page = open_page(1280, "light")
    summary = page.get_by_text("The same as a table").first
    table = page.get_by_role("table", name="Refreshes per hour, the last 24 hours")
    expect(table).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    expect(table).to_be_visible()
    expect(table.get_by_role("columnheader", name="refreshed")).to_be_visible()
    expect(table.get_by_role("row")).to_have_count(25)


def test_each_finding_leads_to_its_mailboxes(open_page, troubles):
    page = open_page(1280, "light")
    page.get_by_role("link", name=re.compile("^Show them.*1 mailbox must be connected again")).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.get_by_text("needs reconnecting by its user").first).to_be_visible()
