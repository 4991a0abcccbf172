"""The pictures of the README, taken from the running demo:

DJANGO_SETTINGS_MODULE=tests.settings python -m tests.browser.screenshots
"""

from __future__ import annotations

import django

from tests.browser.demo import ROOT, running_demo
from tests.services.chromium import chromium_browser
from tests.services.programs import require

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    with running_demo(token_seconds=20) as demo, chromium_browser(require("chromium")) as browser:
        page = browser.new_page(viewport={"width": 900, "height": 420}, color_scheme="light")
        demo.sign_in(page, "admin")
        for name in ("Microsoft", "Google", "Company (OIDC)"):
            demo.connect(page, f"Connect {name} mailbox")
        page.wait_for_timeout(25_000)  # so that the worker has something to show
        page.goto(demo.url)
        page.screenshot(path=IMAGES / "demo.png", full_page=True)
        page.goto(f"{demo.url}/mail/")
        page.screenshot(path=IMAGES / "mailboxes.png", full_page=True)
        page.set_viewport_size({"width": 1100, "height": 1000})
        page.goto(f"{demo.url}/admin/mail_oauth/mailcredentials/")
        page.locator("#result_list tbody th a").first.click()
        page.wait_for_load_state()
        page.screenshot(path=IMAGES / "admin.png")
        page.goto(f"{demo.url}/admin/mail_oauth/dashboard/")
        page.screenshot(path=IMAGES / "dashboard.png")


if __name__ == "__main__":
    django.setup()
    main()
