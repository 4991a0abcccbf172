"""Managers: the vocabulary of querysets, transitions by compare-and-swap, and access to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models, router

from mail_oauth.managers.access import TokenAccess, nearby
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.tokens import AccessToken, Secret

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials

    _Base = models.Manager[MailCredentials]
else:
    _Base = models.Manager


class MailCredentialsManager(_Base.from_queryset(MailCredentialsQuerySet)):  # type: ignore[misc]
    """The manager of `MailCredentials`; reads tokens through the cache."""

    def write_alias(self) -> str:
        """The database that holds the truth, even where reads go to replicas."""
        return self._db or router.db_for_write(self.model)

    def get_access_token(
        self, pk: UUID, *, min_validity: float | None = None, resource: str = "mail"
    ) -> AccessToken:
        """Return a valid access token of the mailbox `pk`; no database query when it is cached.

        It lives at least `min_validity` seconds (`MIN_VALIDITY` by default, clamped for short-lived tokens).
        Raises `MailCredentials.DoesNotExist` or a `MailboxError` that says what to do.
        """
        near = nearby(pk, min_validity, resource)
        if near is not None:
            return near
        return TokenAccess(self).get(pk, min_validity=min_validity, resource=resource)

    async def aget_access_token(
        self, pk: UUID, *, min_validity: float | None = None, resource: str = "mail"
    ) -> AccessToken:
        """`get_access_token`, awaited; without a thread where this process gave it out a moment ago."""
        near = nearby(pk, min_validity, resource)
        if near is not None:
            return near
        return await TokenAccess(self).aget(pk, min_validity=min_validity, resource=resource)

    def report_rejected(self, pk: UUID, access_token: Secret, *, resource: str = "mail") -> AccessToken:
        """Return another token for the mailbox `pk` than one that a mail server refused before its end.

        A refresh is forced once within `REJECTION_INTERVAL`; a report that comes too soon after it raises
        `ProviderUnavailable` ("token_rejected"), since a new token is then no remedy.
        """
        return TokenAccess(self).report_rejected(pk, access_token, resource=resource)

    async def areport_rejected(self, pk: UUID, access_token: Secret, *, resource: str = "mail") -> AccessToken:
        """`report_rejected`, awaited."""
        return await TokenAccess(self).areport_rejected(pk, access_token, resource=resource)
