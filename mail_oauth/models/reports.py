"""What upkeep found when it looked last, and the dashboard that is drawn from it."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail_oauth.managers.upkeep_reports import UpkeepReportManager


class UpkeepReport(models.Model):
    """The latest report of one kind: numbers and codes, never a secret. Old ones are not kept."""

    name = models.CharField(max_length=32, unique=True)
    made_at = models.DateTimeField(pgettext_lazy("column", "made"))
    content = models.JSONField(pgettext_lazy("column", "content"), encoder=DjangoJSONEncoder)

    objects = UpkeepReportManager()

    class Meta:
        verbose_name = _("upkeep report")
        verbose_name_plural = _("upkeep reports")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name}, {self.made_at:%Y-%m-%d %H:%M:%S} UTC"


class Dashboard(UpkeepReport):
    """The admin's page of all of it; a model of its own so that it has a permission, and a place in the index."""

    class Meta:
        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)
