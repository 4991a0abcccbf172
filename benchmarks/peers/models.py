"""The model that Authlib's documentation tells its users to write ("Web OAuth Clients", Database)."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class OAuth2Token(models.Model):
    """One user's token from one provider."""

    objects: ClassVar[models.Manager[OAuth2Token]] = models.Manager()

    name = models.CharField(max_length=40)
    token_type = models.CharField(max_length=40)
    access_token = models.TextField()
    refresh_token = models.TextField()
    expires_at = models.PositiveIntegerField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")

    class Meta:
        app_label = "peers"

    def __str__(self) -> str:
        return self.name

    def to_token(self) -> dict[str, object]:
        """Return the token as Authlib takes it."""
        return {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
        }
