"""`CredentialEvent`, the history of a mailbox."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models.mailboxes import MailCredentials


class CredentialEvent(models.Model):
    """Something that happened to a mailbox. Holds codes and what staff noted, never a token or a provider's words."""

    credentials = models.ForeignKey(  # the history's index begins with it
        MailCredentials,
        models.CASCADE,
        related_name="events",
        db_index=False,
        verbose_name=pgettext_lazy("column", "mailbox"),
    )
    created_at = models.DateTimeField(pgettext_lazy("column", "date"), default=timezone.now)
    kind = models.CharField(pgettext_lazy("column", "event"), max_length=32, choices=EventKind)
    reason = models.CharField(pgettext_lazy("column", "reason"), max_length=64, blank=True)
    note = models.CharField(
        pgettext_lazy("column", "note"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("What the one who did it gave as a reason."),
    )
    generation = models.PositiveBigIntegerField(pgettext_lazy("column", "generation"), default=0)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=pgettext_lazy("column", "by"),
    )

    class Meta:
        verbose_name = _("mailbox event")
        verbose_name_plural = _("mailbox events")
        indexes = [
            models.Index(fields=["credentials", "-created_at"], name="mail_oauth_event_history"),
            models.Index(fields=["created_at"], name="mail_oauth_event_age"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reason}".strip()


class ErasedEvent(models.Model):
    """Something that happened to a mailbox of somebody who was erased: what, at which provider, and on which day."""

    happened_on = models.DateField(pgettext_lazy("column", "date"), db_index=True)
    provider = models.CharField(pgettext_lazy("column", "provider"), max_length=64)
    kind = models.CharField(pgettext_lazy("column", "event"), max_length=32, help_text=_("A kind of event."))
    reason = models.CharField(pgettext_lazy("column", "reason"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("event of an erased mailbox")
        verbose_name_plural = _("events of erased mailboxes")

    def __str__(self) -> str:
        return f"{self.kind} {self.reason}".strip()
