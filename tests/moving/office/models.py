"""The model that O365's documentation shows (O365/utils/token.py, `DjangoTokenBackend`), with a user."""

from django.conf import settings
from django.db import models


class TokenModel(models.Model):
    """One row for each save."""

    token = models.JSONField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "office"

    def __str__(self) -> str:
        return f"Token {self.pk}"
