"""How the providers are: lanes that are held, and the failures that speak for holding one."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail_oauth.managers.budget import CallBudgetManager
from mail_oauth.managers.counts import RefreshCountManager
from mail_oauth.managers.health import ProviderFaultManager, ProviderHealthManager
from mail_oauth.managers.vocabulary import CountedOutcome, TroubleKind


class ProviderHealth(models.Model):
    """One kind of trouble of one lane: a provider app's (`tenant` empty), or one organisation's there.

    While `held`, the lane makes no calls until `held_until`, by the database's clock; then one of them tries, and
    its outcome ends the hold or moves `held_until`. Trouble of the kind "reauth" is the brake: it lets calls
    through, but nobody is told to reconnect.
    """

    provider = models.CharField(pgettext_lazy("column", "provider"), max_length=64)
    tenant = models.CharField(pgettext_lazy("column", "organisation"), max_length=128, blank=True)
    trouble = models.CharField(pgettext_lazy("column", "trouble"), max_length=16, choices=TroubleKind)
    held = models.BooleanField(pgettext_lazy("calls of a provider", "held"), default=False)
    reason = models.CharField(pgettext_lazy("column", "reason"), max_length=64, blank=True)
    trials = models.PositiveIntegerField(_("pauses so far"), default=0)
    held_since = models.DateTimeField(pgettext_lazy("column", "held since"), null=True)
    held_until = models.DateTimeField(pgettext_lazy("column", "next trial"), null=True)
    released_at = models.DateTimeField(pgettext_lazy("calls of a provider", "released"), null=True)

    objects = ProviderHealthManager()

    class Meta:
        verbose_name = _("provider health")
        verbose_name_plural = _("provider health")
        permissions = [
            ("hold_providerhealth", "Can hold the calls of a provider"),
            ("release_providerhealth", "Can try and release the calls of a provider, and release the brake"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "tenant", "trouble"], name="mail_oauth_one_row_per_trouble"
            )
        ]
        indexes = [models.Index(fields=["held"], name="mail_oauth_held")]

    def __str__(self) -> str:
        lane = f"{self.provider} / {self.tenant}" if self.tenant else self.provider
        return f"{lane}: {self.get_trouble_display()}"


class ProviderFault(models.Model):
    """A failure that may concern more than its own mailbox. Old ones are deleted with old events."""

    provider = models.CharField(max_length=64)
    tenant = models.CharField(max_length=128, blank=True)
    trouble = models.CharField(max_length=16, choices=TroubleKind)
    mailbox = models.UUIDField()
    at = models.DateTimeField(default=timezone.now)

    objects = ProviderFaultManager()

    class Meta:
        verbose_name = _("provider fault")
        verbose_name_plural = _("provider faults")
        indexes = [
            models.Index(fields=["provider", "trouble", "at"], name="mail_oauth_fault_lane"),
            models.Index(fields=["at"], name="mail_oauth_fault_age"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.get_trouble_display()} {self.mailbox}"


class RefreshCount(models.Model):
    """How many calls for a refresh had one outcome at one provider, within five minutes from `begins_at`."""

    begins_at = models.DateTimeField(pgettext_lazy("column", "from"))
    provider = models.CharField(pgettext_lazy("column", "provider"), max_length=64)
    outcome = models.CharField(pgettext_lazy("column", "outcome"), max_length=16, choices=CountedOutcome)
    number = models.PositiveBigIntegerField(pgettext_lazy("column", "number"), default=0)

    objects = RefreshCountManager()

    class Meta:
        verbose_name = _("count of refreshes")
        verbose_name_plural = _("counts of refreshes")
        constraints = [
            models.UniqueConstraint(
                fields=["begins_at", "provider", "outcome"], name="mail_oauth_one_count_per_outcome"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.outcome}: {self.number}"


class CallBudget(models.Model):
    """How far ahead the calls of a provider app are spoken for, where it may make only so many a second.

    A call takes the next free moment; it may be made when that is not far ahead (a leaky bucket, or GCRA).
    """

    provider = models.CharField(max_length=64, unique=True)
    free_at = models.DateTimeField()

    objects = CallBudgetManager()

    class Meta:
        verbose_name = _("call budget")
        verbose_name_plural = _("call budgets")

    def __str__(self) -> str:
        return self.provider
