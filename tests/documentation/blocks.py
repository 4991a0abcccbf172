"""The fenced blocks of a page."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(body) for _, body in found]


def block(page: Path, language: str, words: str) -> str:
    """The one block that has these words in it."""
    [found] = [body for body in blocks(page, language) if words in body]
    return found


def commands(page: Path) -> list[list[str]]:
    """The `manage.py` commands that a page shows, in its order, each as its arguments; comments are left out."""
    shown = "\n".join(blocks(page, "console"))
    lines = re.findall(r"^python manage\.py ([^#\n]*)", shown, re.MULTILINE)
    return [line.split() for line in lines]
