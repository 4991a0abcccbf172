"""The users' pages in Chromium, between a real site and the fake provider: by keyboard, without scripts, on small screens."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials

SCHEMES = ("light", "dark")


@pytest.fixture
def open_list(live_server, browser: Browser, client, user, provider):
    """The list of a signed-in user, in a window of its own: `open_list(width=320)`."""
    provider.add_account("ada@example.com")
    client.force_login(user)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
    contexts = []

    def visit(width: int = 1280, **options) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        context.add_cookies([cookie])
        page = context.new_page()
        page.goto(f"{live_server.url}/mail/")
        return page

    yield visit
    for context in contexts:
        context.close()


def tab_to(page: Page, name: str) -> None:
    """Go there as somebody without a mouse does."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        if name in page.evaluate(f"{focused}.getAttribute('aria-label') || {focused}.textContent"):
            return
    raise AssertionError(f"Nothing called {name!r} can be reached by keyboard.")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_mailboxs_whole_life(open_list, scripts):
    page = open_list(java_script_enabled=scripts)
    page.get_by_role("button", name="Connect Google mailbox").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="You did not allow access")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected.")
    row = MailCredentials.objects.get()

    MailCredentials.objects.update(status=Status.NEEDS_REAUTH)
    page.reload()
    expect(page.get_by_text("Needs you")).to_be_visible()
    page.get_by_role("button", name=f"Reconnect: {row.email}").click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text("Works", exact=True)).to_be_visible()

    page.get_by_text("What this site may do").click()
    expect(page.get_by_text("Read, write, send and delete your mail")).to_be_visible()
    page.get_by_role("link", name=f"Disconnect {row.email}").click()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("status")).to_contain_text("is disconnected")
    expect(page.get_by_text("No mailbox is connected yet.")).to_be_visible()


def test_partial_consent_and_another_account_are_told_and_change_nothing(open_list, provider):
    provider.add_account("grace@example.com")
    page = open_list()
    page.get_by_role("button", name="Connect Google mailbox").click()
    page.get_by_label("https://mail.google.com/").uncheck()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", name="Access to mail was not granted")).to_be_visible()
    assert not MailCredentials.objects.exists()

    page.get_by_role("button", name="Try again").click()
    page.get_by_label("Or sign in as a new address").fill("ada@example.com")
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected.")
    before = MailCredentials.objects.get()

    MailCredentials.objects.update(status=Status.NEEDS_REAUTH)
    page.reload()
    page.get_by_role("button", name=f"Reconnect: {before.email}").click()
    page.get_by_label("Or sign in as a new address").fill("grace@example.com")
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", name="account")).to_be_visible()
    after = MailCredentials.objects.get()
    assert (after.subject, after.email) == (before.subject, before.email)


def test_a_keyboard_is_enough(open_list):
    page = open_list()
    tab_to(page, "Connect Microsoft mailbox")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected.")
    tab_to(page, "What this site may do")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Send mail in your name")).to_be_visible()
    tab_to(page, "Disconnect ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Cancel")).to_be_visible()
    tab_to(page, "Disconnect")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is disconnected")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_no_page_is_wider_than_the_screen_and_no_button_too_small(open_list, connect, width, scheme):
    rows = [connect(email=f"{'a-very-long-name' * 3}@{'department.' * 10}example.org"), connect("google")]
    MailCredentials.objects.filter(pk=rows[1].pk).update(status=Status.NEEDS_ADMIN, status_reason="AADSTS53003")
    page = open_list(width, color_scheme=scheme)
    for path in ("", f"disconnect/{rows[0].pk}/", f"refused/microsoft/wrong_account/?mailbox={rows[0].pk}"):
        page.goto(f"{page.url.partition('/mail/')[0]}/mail/{path}")
        for details in page.locator("details").all():
            details.evaluate("element => element.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        heights = page.locator(".mail-oauth-button").evaluate_all("all => all.map(one => one.offsetHeight)")
        assert min(heights) >= 44, "as large as a finger (WCAG 2.5.5)"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_takes_on_the_sites_colours(open_list, connect, scheme):
    page = open_list(color_scheme=scheme)
    button = page.get_by_role("button", name="Connect Google mailbox")
    colour = "one => getComputedStyle(one).backgroundColor"
    assert button.evaluate(colour) == {"light": "rgb(29, 78, 216)", "dark": "rgb(147, 180, 255)"}[scheme]
    page.add_style_tag(content=":root { --mail-oauth-accent: rgb(1, 2, 3); }")
    assert button.evaluate(colour) == "rgb(1, 2, 3)"
