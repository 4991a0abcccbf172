"""Links by which staff ask users to reconnect their mailboxes."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from mail_oauth.models.mailboxes import MailCredentials


class ReconnectLink(models.Model):
    """The newest link of a mailbox, which works once. `digest` is SHA-256: reading this table opens nothing."""

    mailbox = models.OneToOneField(  # no constraint: to add it, all who write mailboxes would wait
        MailCredentials, models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    digest = models.CharField(max_length=64)
    sent_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("link to reconnect")
        verbose_name_plural = _("links to reconnect")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.mailbox_id)
