"""The system checks, as a doctor's findings: all of them, Django's and other apps' as well."""

from __future__ import annotations

from collections.abc import Sequence

from django.core import checks
from django.core.checks import CheckMessage

from mail_oauth.upkeep.doctor.findings import Finding, Level

SUMMARY = "system.checks"


def system_findings(databases: Sequence[str]) -> list[Finding]:
    """Run every check, those for deployment and those of `databases` included; silenced ones stay silent."""
    try:
        messages = checks.run_checks(include_deployment_checks=True, databases=databases)
    except Exception as error:  # noqa: BLE001  # a check imports the project's URLs, and whatever they import
        return [
            Finding(
                id=SUMMARY,
                subject="manage.py check",
                level=Level.ERROR,
                what=f"The checks cannot be run ({type(error).__name__}).",
                hint="Run `manage.py check`, which shows where.",
            )
        ]
    found = [_finding(message) for message in messages if not message.is_silenced()]
    if found:
        return sorted(found, key=lambda finding: (finding.id, finding.what))  # Django keeps its checks in a set
    return [Finding(id=SUMMARY, subject="manage.py check", level=Level.OK, what="No check has found anything.")]


def _finding(message: CheckMessage) -> Finding:
    level = Level.OK
    if message.level >= checks.WARNING:
        level = Level.ERROR if message.level >= checks.ERROR else Level.WARNING
    return Finding(
        id=str(message.id or "unnamed"),
        subject="settings" if message.obj is None else str(message.obj),
        level=level,
        what=" ".join(str(message.msg).split()),
        hint=" ".join(str(message.hint or "").split()),
    )
