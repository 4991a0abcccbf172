"""What is remembered of mailboxes that were erased, so that no import brings them back."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ErasedMailbox(models.Model):
    """One name of a mailbox that was erased with its user: an import knows it again, and nobody can read it.

    `owner` and `name` are keyed digests (`mail_oauth.encryption.digests_of`): of the user's primary key, and of that with
    a provider's alias and an address or account there. `met_on`: when it was erased, or an import met it last.
    """

    name = models.CharField(max_length=64, primary_key=True)
    owner = models.CharField(max_length=64, db_index=True)
    met_on = models.DateField(db_index=True)

    class Meta:
        verbose_name = _("erased mailbox")
        verbose_name_plural = _("erased mailboxes")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name[:12]
