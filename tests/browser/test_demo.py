"""A person's whole way through the demo, in Chromium: real site, worker, beat, broker and provider."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo import Demo, running_demo

pytestmark = [pytest.mark.worker, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def demo(chromium):
    with running_demo(token_seconds=20) as running:
        yield running
        assert running.interrupt() == 0, running.log
        assert running.commands() == []


def test_connect_watch_inspect_disconnect(demo: Demo, page: Page):
    demo.sign_in(page, "admin")
    demo.connect(page)
    expect(page.get_by_text("ada@example.com is connected.")).to_be_visible()
    expect(page.get_by_text("Works", exact=True)).to_be_visible()

    page.goto(demo.url)
    generation = page.locator("tbody td").last
    expect(generation).to_have_text("1")
    expect(generation).to_have_text("3", timeout=60_000)  # the worker has replaced the token, twice

    page.goto(f"{demo.url}/admin/mail_oauth/mailcredentials/?q=admin")
    page.get_by_role("link", name="ada@example.com").click()
    expect(page.get_by_role("cell", name="token refreshed").first).to_be_visible()

    page.goto(f"{demo.url}/mail/")
    page.get_by_role("link", name="Disconnect ada@example.com").click()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_text("ada@example.com is disconnected")).to_be_visible()
    expect(page.get_by_text("No mailbox is connected yet.")).to_be_visible()


def test_mail_is_shown_and_sent(demo: Demo, page: Page):
    demo.sign_in(page, "ada")  # the admin has one mailbox, in another test
    demo.connect(page, "Connect Google mailbox")
    page.get_by_role("link", name="Messages of ada@example.com").first.click()
    letters = page.locator(".letters li")
    expect(letters.filter(has_text="<script>alert('hello')</script>")).to_have_count(1)
    expect(letters.last).to_contain_text("Welcome to your mailbox")
    before = letters.count()

    page.get_by_label("To").fill("ada@example.com")
    page.get_by_label("Subject").fill("Grüße an mich 🌧")
    page.get_by_label("Text").fill("Bis bald.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Your message to ada@example.com is sent.")).to_be_visible()
    expect(letters.first).to_contain_text("Grüße an mich 🌧")
    page.reload()
    expect(letters).to_have_count(before + 1)


def test_denial_says_so_and_offers_another_try(demo: Demo, page: Page):
    demo.sign_in(page, "ada")
    page.goto(f"{demo.url}/mail/")
    page.get_by_role("button", name="Connect Google mailbox").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="You did not allow access")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text("is connected.")).to_be_visible()
    assert not re.search(r"[?&](code|state)=", page.url)


@pytest.mark.parametrize("width", [320, 1280])
def test_no_page_is_wider_than_the_screen(demo: Demo, page: Page, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    demo.sign_in(page, "ada")
    for path in ("/", "/mail/", "/mail/refused/microsoft/wrong_account/", "/mail/refused/google/declined/"):
        page.goto(demo.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    demo.connect(page)
    page.get_by_role("link", name="Messages of").first.click()
    expect(page.locator(".letters li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url


def test_it_works_without_javascript(demo: Demo, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    demo.sign_in(page, "ada")
    demo.connect(page, "Connect Company (OIDC) mailbox")
    expect(page.get_by_text("is connected.")).to_be_visible()
    page.get_by_role("link", name="Messages of").first.click()
    page.get_by_label("To").fill("ada@example.com")
    page.get_by_label("Subject").fill("without a script")
    page.get_by_label("Text").fill("…")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".letters li").first).to_contain_text("without a script")
    context.close()


def test_the_same_demo_on_postgresql_and_redis(postgres_server, redis_server, monkeypatch, page: Page):
    monkeypatch.setenv("DATABASE_URL", postgres_server.url)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with running_demo(token_seconds=20, services=True) as demo:
        demo.sign_in(page, "ada")
        demo.connect(page)
        page.goto(demo.url)
        expect(page.locator("tbody td").last).to_have_text("2", timeout=60_000)
        redis_server.flush()
        expect(page.locator("tbody td").last).to_have_text("3", timeout=60_000)
        page.get_by_role("link", name="ada@example.com").click()
        expect(page.locator(".letters li")).to_have_count(3)
        assert "transport:   redis://" in demo.log


def test_the_help_desk_answers_as_the_user(demo: Demo, page: Page):
    demo.sign_in(page, "ada")
    demo.connect(page, "Connect Company (OIDC) mailbox")
    page.get_by_role("link", name="Messages of ada@example.com").first.click()
    page.get_by_role("link", name="The same mail as a help desk").click()
    page.get_by_role("link", name="Welcome to your mailbox").click()
    expect(page.get_by_text("It lives in memory.")).to_be_visible()
    page.get_by_label("Your answer").fill("Thank you, and good night.")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_text("Your answer to welcome@example.com is sent.")).to_be_visible()
    expect(page.get_by_role("article").last).to_contain_text("Thank you, and good night.")
    page.get_by_role("link", name="All conversations of ada@example.com").click()
    conversation = page.locator(".letters li").filter(has_text="Welcome to your mailbox")
    expect(conversation).to_contain_text("2 messages, answered")
