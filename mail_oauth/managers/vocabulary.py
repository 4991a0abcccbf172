"""The words of a mailbox's life."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Status(TextChoices):
    """Whether a mailbox works, and who must act if it does not."""

    CONNECTED = "connected", _("connected")
    NEEDS_REAUTH = "needs_reauth", _("needs reconnecting by its user")
    NEEDS_ADMIN = "needs_admin", _("needs the user's administrator")
    UNREADABLE = "unreadable", _("unreadable: a key is missing")
    DISCONNECTED = "disconnected", _("disconnected")


class EventKind(TextChoices):
    """What can happen to a mailbox."""

    CONNECTED = "connected", _("connected")
    RECONNECTED = "reconnected", _("reconnected")
    REPLACED = "replaced", _("replaced by another account")
    REFRESHED = "refreshed", _("token refreshed")
    RECOVERED = "recovered", _("works again")
    REFRESH_FAILED = "refresh_failed", _("refresh failed")
    NEEDS_REAUTH = "needs_reauth", _("needs reconnecting")
    NEEDS_ADMIN = "needs_admin", _("needs the administrator")
    UNREADABLE = "unreadable", _("became unreadable")
    PAUSED = "paused", _("OAuth switched off")
    RESUMED = "resumed", _("OAuth switched on")
    DISCONNECTED = "disconnected", _("disconnected")
    REVOKED = "revoked", _("grant revoked at the provider")
    REVOCATION_FAILED = "revocation_failed", _("revocation failed")
    TOKENS_DROPPED = "tokens_dropped", _("tokens deleted here")
