"""What upkeep found when it looked last: one report of each kind is kept, the latest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, models, transaction

if TYPE_CHECKING:
    from mail_oauth.models import UpkeepReport

    _Base = models.Manager[UpkeepReport]
else:
    _Base = models.Manager


class UpkeepReportQuerySet(models.QuerySet["UpkeepReport"]):
    """Reports of upkeep."""

    def keep(self, name: str, content: Mapping[str, Any], made_at: datetime) -> bool:
        """Put a report in the place of the one before; False where a later one stands there already."""
        if self.filter(name=name, made_at__lte=made_at).update(content=content, made_at=made_at):
            return True
        try:
            with transaction.atomic(using=self.db):
                self.create(name=name, content=content, made_at=made_at)
        except IntegrityError:  # of a later time, or another process was the first
            return bool(self.filter(name=name, made_at__lte=made_at).update(content=content, made_at=made_at))
        return True

    def named(self, names: Iterable[str]) -> dict[str, UpkeepReport]:
        """Return the reports that there are of these names."""
        return {report.name: report for report in self.filter(name__in=list(names))}


class UpkeepReportManager(_Base.from_queryset(UpkeepReportQuerySet)):  # type: ignore[misc]
    """The manager of `UpkeepReport`."""
