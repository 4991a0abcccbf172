from __future__ import annotations

from django.db import models

from mail_oauth.encryption import seal
from mail_oauth.fields import SealedField
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import Secret


class Visible(models.Manager["Jewel"]):
    """A default manager that hides rows, as sites have them."""

    def get_queryset(self) -> models.QuerySet[Jewel]:
        return super().get_queryset().filter(hidden=False)


class Jewel(models.Model):
    """Numbered, unlike mailboxes; its place depends on a column of its own."""

    name = models.CharField(max_length=50)
    hidden = models.BooleanField(default=False)
    combination = SealedField(null=True, db_column="secret_combination")

    objects = Visible()

    class Meta:
        app_label = "vault"

    def __str__(self) -> str:
        return self.name

    def place(self, column: str) -> str:
        return f"vault.{column}:{self.name}"

    def sealed(self, secret: str) -> Sealed:
        return seal(Secret(secret), self.place("combination"))


class Setting(Jewel):
    """A table of its own beside its parent's, which holds the encrypted column."""

    class Meta:
        app_label = "vault"


class Shown(Jewel):
    """The same table under another name."""

    class Meta:
        app_label = "vault"
        proxy = True
