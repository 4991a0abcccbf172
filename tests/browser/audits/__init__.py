"""Audits of a page: axe-core for people who see, hear or move otherwise, html-validate for what the standard says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.programs import require, skip_or_fail

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).parent
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
HTML_VALIDATE = HERE / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"
RULES = HERE / "htmlvalidate.json"

RUN_AXE = """async () => {
    const ours = document.querySelector("#content") || document;
    const found = await axe.run({ include: [ours], exclude: ["#changelist-search"] });
    return found.violations.map(violation => ({
        rule: violation.id,
        help: violation.help,
        nodes: violation.nodes.map(node => node.html.slice(0, 200) + " " + node.failureSummary),
    }));
}"""
"""In the admin, what it puts around a page is left out, and its search: they are Django's to mend."""

PICTURES = os.environ.get("MAIL_OAUTH_PICTURES")
"""Where pictures of pages are put, to be looked at; nowhere, unless set."""


def installed(program: Path) -> Path:
    """The path of an audit; without it the test skips, or fails under MAIL_OAUTH_REQUIRE_SERVICES=1."""
    if not program.exists():
        skip_or_fail(f"{program.name} is not installed: npm --prefix tests/browser/audits ci")
    return program


def inaccessible(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands. A policy against scripts does not bind the debugger."""
    page.evaluate(installed(AXE).read_text())
    found = page.evaluate(RUN_AXE)
    return [f"{each['rule']}: {each['help']}: {node}" for each in found for node in each["nodes"]]


def invalid(pages: Mapping[str, str], directory: Path) -> list[str]:
    """What html-validate finds in the pages, by name; it is started once for all of them."""
    program = installed(HTML_VALIDATE)
    for number, html in enumerate(pages.values()):
        (directory / f"{number}.html").write_text(html)
    report = directory / "report.json"  # what it prints into a pipe, it cuts
    command = [require("node"), program, "--config", RULES, "--formatter", f"json={report}", directory]
    reply = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert report.exists(), reply.stderr
    names = list(pages)
    return [
        f"{names[int(Path(page['filePath']).stem)]}: line {each['line']}: {each['ruleId']}: {each['message']}"
        for page in json.loads(report.read_text())
        for each in page["messages"]
    ]


def picture(page: Page, name: str) -> None:
    """Keep how a page looks, where that is wanted."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)
