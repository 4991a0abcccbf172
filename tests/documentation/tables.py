"""The tables of the README that are made from the code.

python -m tests.documentation.tables    # writes them into README.md
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from dataclasses import MISSING
from pathlib import Path

from mail_oauth import conf
from mail_oauth.providers.registry import BUILT_IN, provider_class

README = Path(__file__).resolve().parents[2] / "README.md"


def settings_table() -> str:
    """Every setting with its default and what it means, from `conf.Settings`."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, meaning in _meanings().items():
        spec = conf.NAMES[name.upper()]
        made = spec.default if spec.default_factory is MISSING else spec.default_factory()
        default = [] if made == () else made
        rows.append(f"| `{name.upper()}` | `{default!r}` | {meaning} |")
    return "\n".join(rows)


def _meanings() -> dict[str, str]:
    tree = ast.parse(inspect.getsource(conf.Settings)).body[0]
    assert isinstance(tree, ast.ClassDef)
    pairs = zip(tree.body, tree.body[1:], strict=False)
    return {
        node.target.id: " ".join(doc.value.value.split())
        for node, doc in pairs
        if isinstance(node, ast.AnnAssign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant)
    }


def providers_table() -> str:
    """Every built-in provider with what it can do, from its class."""
    rows = ["| `CLASS` | PKCE | names the account | revokes | IMAP | SMTP |", "|---|---|---|---|---|---|"]
    for name in BUILT_IN:
        provider = provider_class(name, {})
        example = dict.fromkeys(provider.required_options, "https://x")
        made = provider(name, {**example, "CLIENT_SECRET": "x", "REVOKE_URL": provider.revoke_url})
        servers = [made.setting("IMAP"), made.setting("SMTP")]
        hosts = [f"`{server.host}:{server.port}`" if server else "by option" for server in servers]
        revokes = "yes" if provider.revoke_url else {"oidc": "by discovery", "oauth2": "by option"}.get(name, "no")
        facts = ["yes" if fact else "no" for fact in (provider.uses_pkce, provider.names_account)]
        rows.append(f"| `{name}` | {' | '.join([*facts, revokes, *hosts])} |")
    return "\n".join(rows)


def benchmark_table() -> str:
    """The figures of the last benchmark in short, from its own report."""
    report = (README.parent / "docs" / "benchmark.md").read_text()
    found = re.search(r"## In short\n\n(.*?)\n\n", report, re.DOTALL)
    assert found, "docs/benchmark.md has no table in short."
    return found[1]


TABLES = {"settings": settings_table, "providers": providers_table, "benchmark": benchmark_table}


def between_markers(text: str, name: str) -> str:
    """What stands in the README where a table belongs."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.DOTALL)
    assert found, f"README.md has no place for the table of {name}."
    return found[1]


def write() -> None:
    """Write every table into the README."""
    text = README.read_text()
    for name, table in TABLES.items():
        text = re.sub(
            rf"<!-- {name} -->\n.*?<!-- /{name} -->",
            lambda _, name=name, table=table: f"<!-- {name} -->\n{table()}\n<!-- /{name} -->",
            text,
            flags=re.DOTALL,
        )
    README.write_text(text)


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    write()
