"""A table with the plain field of django-fernet-fields beside ours."""

from __future__ import annotations

from django.db import models
from fernet_fields import EncryptedTextField

from mail_oauth.encryption import seal
from mail_oauth.fields import SealedField
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import Secret


class Note(models.Model):
    """Its table is made by the fixture `notes`; no app of that name is installed."""

    title = models.TextField(default="")
    plain = EncryptedTextField(null=True)
    sealed = SealedField(null=True)

    class Meta:
        app_label = "sealing_notes"

    def __str__(self) -> str:
        return self.title


def sealed_for(title: str, secret: str = "secret") -> Sealed:
    """A secret sealed for the note of that title."""
    return seal(Secret(secret), f"note:{title}")
