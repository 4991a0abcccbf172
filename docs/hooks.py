"""What MkDocs does besides: pages that lie at the root of the repository, where GitHub shows them, are the site's as well."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FRONT = {"README.md": "index.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changes.md"}
"""From a page at the root to its name on the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, with links that fit their place."""
    for page, name in FRONT.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        text = re.sub(r"\]\(docs/", "](", text)
        files.append(File.generated(config, name, content=_to_front(text, "")))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links to the root's pages lead to the site's."""
    return _to_front(markdown, "../")


def _to_front(text: str, before: str) -> str:
    for page, name in FRONT.items():
        text = text.replace(f"]({before}{page}", f"]({name}")
    return text
