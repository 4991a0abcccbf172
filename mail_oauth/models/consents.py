"""Consents under way, how often each user begins one, and who may save one."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mail_oauth.fields import SealedField
from mail_oauth.models.mailboxes import MailCredentials

LONGEST_REDIRECT_URI = 500
"""In characters."""


class ConnectAttempt(models.Model):
    """A consent under way: what the callback must match. One time, bound to a user and a browser session.

    `state_digest` and `binding_digest` are SHA-256, so that reading this table opens nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    state_digest = models.CharField(max_length=64, unique=True)
    binding_digest = models.CharField(max_length=64)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    provider = models.CharField(max_length=64)
    redirect_uri = models.URLField(max_length=LONGEST_REDIRECT_URI)
    code_verifier = SealedField(null=True)
    nonce = SealedField(null=True)
    requested_scopes = models.TextField(blank=True)
    next_url = models.CharField(max_length=2000, blank=True)
    typed_email = models.EmailField(max_length=254, blank=True)
    replaces = models.ForeignKey(MailCredentials, models.CASCADE, null=True, related_name="+")
    allow_replacement = models.BooleanField(default=False)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("consent under way")
        verbose_name_plural = _("consents under way")

    def __str__(self) -> str:
        return f"{self.provider} {self.pk}"

    def place(self, column: str) -> str:
        """Return the name of the place that a column's secret is sealed for."""
        return f"mail_oauth_connectattempt.{column}:{self.pk}"


class ConnectPace(models.Model):
    """How far ahead a user's starts are spoken for (a leaky bucket, or GCRA), by the database's clock.

    In the database, for it must hold when the cache is flushed; consents themselves are deleted when they are taken.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", primary_key=True)
    free_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("pace of a user's consents")
        verbose_name_plural = _("paces of users' consents")

    def __str__(self) -> str:
        return str(self.user_id)


class ConnectTurn(models.Model):
    """A row that is locked while a mailbox is saved that no two users may hold. There are a few hundred at the most."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    taken_at = models.DateTimeField()

    class Meta:
        verbose_name = _("turn to save a consent")
        verbose_name_plural = _("turns to save a consent")

    def __str__(self) -> str:
        return str(self.number)
