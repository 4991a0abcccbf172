"""The tables of docs/scaling.md are what follows from its base figures."""

from __future__ import annotations

import math
import re

import pytest

from benchmarks.arithmetic import PAGE, TABLES, Figures, between_markers, number, table, written
from mail_oauth.conf import app_settings
from mail_oauth.refresh.policy import mean_period

TEXT = PAGE.read_text(encoding="utf-8")
BASE = Figures(TEXT)


@pytest.mark.parametrize("name", TABLES)
def test_each_table_follows_from_the_base_figures(name):
    assert between_markers(TEXT, name) == table(TABLES[name](BASE)), "Run: python -m benchmarks.arithmetic"


def test_what_the_app_says_itself_is_said_right():
    assert mean_period(3600) == BASE.period
    assert app_settings().refresh_threads == BASE.threads


def test_another_figure_makes_other_tables():
    slower = re.sub(r"\| `worker_cpu` \| [0-9.]+ \|", "| `worker_cpu` | 9.9 |", TEXT)
    changed = {name for name in TABLES if between_markers(written(slower), name) != between_markers(TEXT, name)}
    assert changed == {"load"}


def test_every_figure_is_used_or_explained():
    names = re.findall(r"^\| `(\w+)` \|", between_markers(TEXT, "base"), re.MULTILINE)
    prose = TEXT.split("<!-- /base -->")[1]
    used = {name for name in names if f"`{name}`" in prose}
    counted: set[str] = set()

    class Watched(Figures):
        def __getattr__(self, name: str) -> float:
            counted.add(name)
            return super().__getattr__(name)

    for rows_of in TABLES.values():
        table(rows_of(Watched(TEXT)))
    assert set(names) == used | (counted & set(names))


def test_figures_are_rounded_to_what_was_measured():
    shown = [number(value) for value in (0.4567, 4.567, 45.67, 456.7, 4567.8, 265_000_000.0, 39)]
    assert shown == ["0.46", "4.6", "46", "457", "4,570", "265 M", "39"]


def test_its_settings_and_pictures_exist():
    named = set(re.findall(r"`([A-Z]{3,}(?:_[A-Z]+)+)[` =]", TEXT))
    known = {name.upper() for name in type(app_settings()).__slots__} | {"CALLS_PER_SECOND"}
    assert named - known <= {"DATABASE_ROUTERS", "MAIL_OAUTH_SHARD"}
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (PAGE.parent / picture).is_file(), picture


def test_its_python_compiles():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        compile(block, "docs/scaling.md", "exec")


def test_an_unknown_figure_is_named():
    with pytest.raises(AttributeError, match="no base figure 'speed'"):
        _ = BASE.speed
    with pytest.raises(LookupError, match="'nothing'"):
        between_markers(TEXT, "nothing")
    assert not math.isnan(BASE.period)
