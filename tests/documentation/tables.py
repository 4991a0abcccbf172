"""The tables of the README and of pages in docs/ that are made from the code.

python -m tests.documentation.tables    # writes them there
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from dataclasses import MISSING

from mail_oauth import conf
from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.metrics import INSTRUMENTS
from tests.documentation.api import api_list
from tests.documentation.blocks import DOCS, README
from tests.documentation.logs import LEVELS, Record, records
from tests.documentation.provider_tables import TABLES as PROVIDER_TABLES
from tests.documentation.reference_tables import TABLES as REFERENCE_TABLES
from tests.documentation.trouble_tables import TABLES as TROUBLE_TABLES

CHECKS = DOCS / "checks.md"
METRICS = DOCS / "metrics-and-logs.md"
PROVIDERS = DOCS / "providers.md"
TROUBLES = DOCS / "troubleshooting.md"

BAR = r"\|"
"""How a bar is written that ends no cell, in code as well (GitHub Flavored Markdown, "Tables")."""


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


def benchmark_table() -> str:
    """The figures of the last benchmark in short, from its own report."""
    report = (DOCS / "benchmark.md").read_text()
    found = re.search(r"## In short\n\n(.*?)\n\n", report, re.DOTALL)
    assert found, "docs/benchmark.md has no table in short."
    return found[1]


def checks_table() -> str:
    """Every system check: its id, level, which command runs it, what it finds and the line that mends it."""
    rows = ["| id | level | found by | what | the line |", "|---|---|---|---|---|"]
    for check in CATALOGUE.values():
        line = check.line if "`" in check.line or not re.search(r'["=_@]', check.line) else f"`{check.line}`"
        level = "error" if check.number.startswith("E") else "warning"
        cells = (f"`{check.id}`", level, f"`{check.when}`", check.what, line)
        rows.append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |")
    return "\n".join(rows)


def probes_table() -> str:
    """Every probe of the doctor, and what it looks at."""
    from mail_oauth.upkeep.doctor.examination import LIVE, PROBES  # models, which want Django set up

    rows = ["| id | looks at | |", "|---|---|---|"]
    rows += [f"| `{probe.id}` | {probe.what} | {'`--live`' if probe in LIVE else ''} |" for probe in PROBES]
    return "\n".join(rows)


def operations_table() -> str:
    """Every operation of the admin: who may have it done, what stays of it, and whether one is asked for it."""
    from mail_oauth.operations.catalogue import OPERATIONS  # models, which want Django set up

    written = {
        "pause": "paused",
        "resume": "resumed",
        "disconnect": "disconnected",
    }  # by the transitions themselves
    rows = ["| operation | permission | event | asks before it is done to one |", "|---|---|---|---|"]
    for name, operation in OPERATIONS.items():
        permissions = " or ".join(f"`{each}_mailcredentials`" for each in operation.permissions)
        kind = operation.kind.value if operation.kind else written[name]
        rows.append(f"| {operation.label} | {permissions} | `{kind}` | {'yes' if operation.confirmed else 'no'} |")
    return "\n".join(rows)


def instruments_table() -> str:
    """Every instrument of the metrics."""
    rows = ["| instrument | kind | unit | attributes | what |", "|---|---|---|---|---|"]
    for each in INSTRUMENTS:
        attributes = ", ".join(f"`{name}`" for name in each.attributes)
        rows.append(f"| `{each.name}` | {each.kind} | `{each.unit}` | {attributes} | {each.what} |")
    return "\n".join(rows)


def logs_table() -> str:
    """Every action of the log, with its levels, words and keys."""
    by_action: dict[str, list[Record]] = {}
    for record in records():
        for action in record.actions:
            by_action.setdefault(action, []).append(record)
    rows = ["| `action` | level | says | other keys |", "|---|---|---|---|"]
    for action, found in sorted(by_action.items()):
        levels = ", ".join(level for level in LEVELS if any(level in each.levels for each in found))
        words = " · ".join(
            dict.fromkeys(each.message.replace("%s", "…").replace("%d", "…").replace("%r", "…") for each in found)
        )
        keys = ", ".join(f"`{key}`" for key in sorted(set().union(*(each.keys for each in found)) - {"action"}))
        rows.append(f"| `{action}` | {levels} | {words} | {keys} |")
    return "\n".join(rows)


TABLES = {
    "settings": (DOCS / "settings.md", settings_table),
    "benchmark": (README, benchmark_table),
    "checks": (CHECKS, checks_table),
    "probes": (CHECKS, probes_table),
    "operations": (DOCS / "admin.md", operations_table),
    "instruments": (METRICS, instruments_table),
    "logs": (METRICS, logs_table),
    "api": (DOCS / "api.md", api_list),
    **{name: (PROVIDERS, table) for name, table in PROVIDER_TABLES.items()},
    **{name: (DOCS / "reference.md", table) for name, table in REFERENCE_TABLES.items()},
    **{name: (TROUBLES, table) for name, table in TROUBLE_TABLES.items()},
}
"""By name: the document that has it, and what makes it."""


def between_markers(text: str, name: str) -> str:
    """What stands in a document where a table belongs."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.DOTALL)
    assert found, f"There is no place for the table of {name}."
    return found[1]


def write() -> None:
    """Write every table into its document."""
    for name, (document, table) in TABLES.items():
        made = f"<!-- {name} -->\n{table()}\n<!-- /{name} -->"
        text = re.sub(
            rf"<!-- {name} -->\n.*?<!-- /{name} -->",
            lambda _, made=made: made,
            document.read_text(),
            flags=re.DOTALL,
        )
        document.write_text(text)


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    write()
