"""The site has every page, and what its pages of explanation and reference name is there. `make docs` checks all links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mail_oauth import signals
from mail_oauth.conf import NAMES
from mail_oauth.managers.vocabulary import Status
from tests.documentation.blocks import DOCS, README, ROOT, blocks
from tests.documentation.reference_tables import commands_table, exceptions_table, signals_table

MKDOCS = (ROOT / "mkdocs.yml").read_text()
FRONT = {"README.md": "index.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changes.md"}
PAGES = sorted(DOCS.glob("*.md"))


def test_each_page_is_in_the_contents_once():
    listed = re.findall(r": ([\w-]+\.md)$", MKDOCS, re.MULTILINE)
    assert sorted(listed) == sorted([*FRONT.values(), *(page.name for page in PAGES)])


def test_the_pages_of_the_root_are_those_that_the_hook_adds():
    text = (DOCS / "hooks.py").read_text()
    for page, name in FRONT.items():
        assert f'"{page}": "{name}"' in text
        assert (ROOT / page).is_file()


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: page.name)
def test_each_link_leads_to_a_file_where_the_repository_is_read_too(page: Path):
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)", prose)
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_nothing_is_fetched_from_elsewhere():
    assert "font: false" in MKDOCS
    for words in ("http://", "https://", "mermaid", "privacy", "extra_javascript"):
        assert words not in MKDOCS
    assert not re.search(r"url\(|@import|//", (DOCS / "site.css").read_text())


def test_the_life_of_a_mailbox_has_each_status_once():
    text, picture = (DOCS / "life.md").read_text(), (DOCS / "images" / "life.svg").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == Status.values
    assert re.findall(r'font-weight="bold">(\w+)<', picture) == Status.values


@pytest.mark.parametrize("name", ["life", "refreshing", "comparison", "reference", "settings"])
def test_the_settings_in_the_prose_exist(name):
    text = (DOCS / f"{name}.md").read_text()
    prose = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"`([A-Z][A-Z_]{3,})`", prose))
    assert used - set(NAMES) <= {"UPDATE", "MAIL_OAUTH", "FERNET_KEYS", "FERNET_USE_HKDF"}
    assert blocks(DOCS / f"{name}.md", "python") == []


def test_the_reference_has_all_there_is():
    declared = {name for name, each in vars(signals).items() if isinstance(each, signals.Signal)}
    assert set(re.findall(r"^\| `(\w+)`", signals_table(), re.MULTILINE)) == declared
    assert {"refresh", "doctor", "rotate_keys"} <= set(re.findall(r"^\| `(\w+)`", commands_table(), re.MULTILINE))
    assert "`--dry-run`" in commands_table()
    assert "`--verbosity" not in commands_table(), "every command of Django's has it"
    assert "`ReauthRequired` | `MailboxError`" in exceptions_table()


def test_who_is_measured_against_us_is_compared():
    text = (DOCS / "comparison.md").read_text()
    extra = re.findall(r"^bench =\n((?:    .*\n)+)", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[0]
    for peer in re.findall(r"^ +([\w-]+)", extra, re.MULTILINE):
        assert peer.lower() in text.lower()
