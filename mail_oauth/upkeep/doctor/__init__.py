"""`manage.py mail_oauth doctor`: looks at everything that mailboxes depend on, and says what to do about it."""

from mail_oauth.upkeep.doctor.examination import PROBES, Report, examine
from mail_oauth.upkeep.doctor.findings import Finding, Level

__all__ = ["PROBES", "Finding", "Level", "Report", "examine"]
