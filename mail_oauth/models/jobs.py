"""Operations on many mailboxes at once: what is done, for whom, and what came of each mailbox."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

LONGEST_ORIGIN = 300
"""In characters."""


class BulkJob(models.Model):
    """Somebody's order to do one thing to many mailboxes. It has ended when none of them waits any more."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    operation = models.CharField(pgettext_lazy("column", "operation"), max_length=32)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=pgettext_lazy("column", "by"),
    )
    origin = models.CharField(max_length=LONGEST_ORIGIN, blank=True)
    language = models.CharField(max_length=32, blank=True)
    total = models.PositiveIntegerField(pgettext_lazy("column", "mailboxes"), default=0)
    created_at = models.DateTimeField(pgettext_lazy("column", "begun"), default=timezone.now, db_index=True)
    ended_at = models.DateTimeField(pgettext_lazy("column", "ended"), null=True, db_index=True)
    stopped = models.BooleanField(pgettext_lazy("column", "stopped"), default=False)

    class Meta:
        verbose_name = _("bulk action")
        verbose_name_plural = _("bulk actions")
        default_permissions = ()  # who may see mailboxes may see what was done to them

    def __str__(self) -> str:
        return f"{self.operation} {self.pk}"


class ItemState(models.TextChoices):
    """How far a mailbox of a job is."""

    WAITING = "waiting", pgettext_lazy("mailbox of a bulk action", "waiting")
    DONE = "done", pgettext_lazy("mailbox of a bulk action", "done")
    FAILED = "failed", pgettext_lazy("mailbox of a bulk action", "not done")


class BulkItem(models.Model):
    """One mailbox of a job. While a worker is at it, until `taken_until`, it is the `owner`'s.

    The mailbox is named by its key alone: what was deleted since keeps no address here.
    """

    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="items", db_index=False)
    mailbox = models.UUIDField()
    state = models.CharField(max_length=8, choices=ItemState, default=ItemState.WAITING)
    text = models.TextField(blank=True)
    owner = models.CharField(max_length=32, blank=True)
    taken_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("mailbox of a bulk action")
        verbose_name_plural = _("mailboxes of bulk actions")
        default_permissions = ()
        indexes = [models.Index(fields=["job", "state", "id"], name="mail_oauth_job_state")]

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.state}"
