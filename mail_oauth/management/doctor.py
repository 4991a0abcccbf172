"""`manage.py mail_oauth doctor`: an examination as a table with hints, or as JSON for programs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.core.management.color import Style

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.upkeep.doctor import Finding, Level, Report, examine

SCHEMA = 1
"""The version of the JSON: raised when a member changes its meaning or goes, not when one is added."""

_FAIL_LEVELS = {"ERROR": Level.ERROR, "WARNING": Level.WARNING}
_COUNTABLE = {Level.WARNING, Level.ERROR}
_INDENT = "    "


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options. The system checks are run by the doctor itself, which goes on when they find errors."""
    parser.set_defaults(skip_checks=True)
    parser.add_argument(
        "--live", action="store_true", help="also ask providers and mail hosts; spends no token, signs nobody in"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--provider", default="", metavar="ALIAS", help="of the providers, look at this one alone")
    parser.add_argument(
        "--fail-level", choices=_FAIL_LEVELS, default="ERROR", help="from which level on the exit code is 1"
    )


def run(options: dict[str, Any], stdout: OutputWrapper, style: Style) -> None:
    """Examine, show what was found, and fail where that is bad enough."""
    try:
        report = examine(live=options["live"], provider=options["provider"])
    except ConfigurationError as error:
        raise CommandError(str(error)) from None
    if options["json"]:
        stdout.write(json.dumps(as_data(report), indent=2, ensure_ascii=False))
    else:
        stdout.write(as_text(report, style))
    if report.level.rank >= _FAIL_LEVELS[options["fail_level"]].rank:
        raise CommandError(f"The worst of it is of the level {report.level}.")


def as_data(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "schema": SCHEMA,
        "level": report.level,
        "live": report.live,
        "seconds": report.seconds,
        "numbers": report.numbers,
        "findings": [asdict(finding) for finding in report.findings],
    }


def as_text(report: Report, style: Style) -> str:
    """Return a table with a hint under each line that is not in order."""
    paint = {
        Level.OK: style.SUCCESS,
        Level.SKIPPED: style.NOTICE,
        Level.WARNING: style.WARNING,
        Level.ERROR: style.ERROR,
    }
    widths = [
        max((len(cell) for cell in column), default=0)
        for column in zip(*map(_cells, report.findings), strict=True)
    ]
    lines = [line for finding in report.findings for line in _lines(finding, widths, paint[finding.level])]
    counted = ", ".join(_counted(level, number) for level, number in report.numbers.items() if number)
    return "\n".join([*lines, "", f"{counted}, in {report.seconds:.1f} s."])


def _counted(level: Level, number: int) -> str:
    return f"{number} {level}{'s' if level in _COUNTABLE and number != 1 else ''}"


def _cells(finding: Finding) -> tuple[str, str, str]:
    return finding.level, finding.id, finding.subject


def _lines(finding: Finding, widths: list[int], paint: Callable[[str], str]) -> list[str]:
    level, *others = (cell.ljust(width) for cell, width in zip(_cells(finding), widths, strict=True))
    took = f" ({finding.milliseconds:.0f} ms)" if finding.milliseconds else ""
    lines = ["  ".join([paint(level), *others, f"{finding.what}{took}"])]
    if finding.hint:
        lines.append(f"{_INDENT}{finding.hint}")
    return lines
