"""`MailCredentials`, the truth about a connected mailbox."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models, router
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail_oauth import parking
from mail_oauth.cache import LAST_GENERATION, token_cache
from mail_oauth.conf import app_settings
from mail_oauth.constraints import UniqueWherePresent
from mail_oauth.encryption import seal, unseal
from mail_oauth.exceptions import Altered, Moved
from mail_oauth.fields import SealedField
from mail_oauth.frames import keeps_locals_in
from mail_oauth.managers import MailCredentialsManager
from mail_oauth.managers.access import TokenAccess, nearby
from mail_oauth.managers.transitions import after_commit
from mail_oauth.managers.vocabulary import Access, RefreshPolicy, Status
from mail_oauth.models.mail import OpensMail
from mail_oauth.providers import provider_for
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import AccessToken, Secret, scope_set


class MailCredentials(OpensMail, models.Model):
    """One user's connected mailbox, or one that the app is let into without a user (see `Access`).

    The primary key is a UUID: it is the name in URLs, logs and cache keys, it is never given twice, and the
    encrypted columns are bound to it. Columns in `MANAGED` change only by `MailCredentialsManager`'s
    transitions (compare-and-swap on `generation`) and by upkeep; `save()` leaves them alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(  # the constraint's index begins with it
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="mail_credentials",
        db_index=False,
        null=True,
        blank=True,
        verbose_name=pgettext_lazy("column", "user"),
        help_text=_("Nobody, where the app itself is let into the mailbox."),
    )
    access = models.CharField(
        _("opened by"), max_length=8, choices=Access, default=Access.USER, db_default="user", editable=False
    )
    app_key = models.CharField(  # noqa: DJ001  # so that it can be unique: MariaDB has no index of some rows alone
        max_length=64, null=True, blank=True, editable=False
    )
    provider = models.CharField(
        pgettext_lazy("column", "provider"), max_length=64, help_text=_("Alias in MAIL_OAUTH['PROVIDERS'].")
    )
    issuer = models.CharField(pgettext_lazy("column", "issuer"), max_length=255, blank=True)
    subject = models.CharField(pgettext_lazy("column", "subject"), max_length=255, blank=True)
    tenant = models.CharField(pgettext_lazy("column", "tenant"), max_length=128, blank=True)
    email = models.EmailField(_("mailbox address"), max_length=254)
    email_verified = models.BooleanField(_("address verified"), default=False)
    address_typed = models.BooleanField(
        _("address typed"), default=False, help_text=_("The user's word, not the provider's: a shared mailbox.")
    )
    sign_in_address = models.CharField(_("sign-in address"), max_length=254, blank=True)
    use_oauth = models.BooleanField(
        _("use OAuth"), default=True, help_text=_("When off, tokens are kept but neither used nor refreshed.")
    )

    status = models.CharField(
        pgettext_lazy("column", "status"), max_length=16, choices=Status, default=Status.CONNECTED
    )
    status_reason = models.CharField(pgettext_lazy("column", "reason"), max_length=64, blank=True)
    status_changed_at = models.DateTimeField(_("status since"), default=timezone.now)

    access_token = SealedField(_("access token"), null=True, blank=True, editable=False)
    refresh_token = SealedField(_("refresh token"), null=True, blank=True, editable=False)
    token_issued_at = models.DateTimeField(_("token issued"), null=True, blank=True)
    token_expiry = models.DateTimeField(_("token expires"), null=True, blank=True)
    refresh_token_expires_at = models.DateTimeField(pgettext_lazy("column", "grant ends"), null=True, blank=True)
    grant_end_estimated = models.BooleanField(
        _("grant's end estimated"), db_default=False, default=False, help_text=_("The provider names none.")
    )
    grant_warned_at = models.DateTimeField(_("warned of the grant's end"), null=True, blank=True)
    requested_scopes = models.TextField(_("requested scopes"), blank=True)
    granted_scopes = models.TextField(_("granted scopes"), blank=True)

    generation = models.PositiveBigIntegerField(pgettext_lazy("column", "generation"), default=1)
    lease_owner = models.CharField(_("leased by"), max_length=64, blank=True)
    refresh_at = models.DateTimeField(
        pgettext_lazy("column", "next refresh"),
        null=True,
        blank=True,
        help_text=_("When the sweep takes this mailbox next; while it is leased, when the lease ends."),
    )
    refresh_failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    last_refresh_error = models.CharField(pgettext_lazy("column", "last error"), max_length=64, blank=True)
    outcome_unknown = models.BooleanField(_("outcome of the last attempt unknown"), default=False)
    last_refreshed_at = models.DateTimeField(_("last refreshed"), null=True, blank=True)
    rejected_at = models.DateTimeField(
        _("refused by a mail server"), null=True, blank=True, help_text=_("When that last forced a refresh.")
    )
    last_used_at = models.DateTimeField(
        pgettext_lazy("column", "last used"), null=True, blank=True, help_text=_("To within some ten minutes.")
    )
    refresh_policy = models.CharField(
        pgettext_lazy("column", "kept warm"),
        max_length=16,
        choices=RefreshPolicy,
        blank=True,
        default="",
        db_default="",
        help_text=_("Empty: as its provider's options or the site's settings say."),
    )
    connected_at = models.DateTimeField(pgettext_lazy("column", "connected"), default=timezone.now)
    created_at = models.DateTimeField(pgettext_lazy("column", "created"), auto_now_add=True)

    objects = MailCredentialsManager()

    MANAGED = frozenset(
        (
            "status status_reason status_changed_at access_token refresh_token token_issued_at token_expiry "
            "refresh_token_expires_at requested_scopes granted_scopes generation lease_owner refresh_at "
            "refresh_failures last_refresh_error outcome_unknown last_refreshed_at connected_at use_oauth "
            "grant_end_estimated grant_warned_at rejected_at last_used_at"
        ).split()
    )

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        permissions = [
            ("refresh_mailcredentials", "Can refresh mailboxes now"),
            ("test_sign_in_mailcredentials", "Can test the sign-in to mailboxes"),
            ("rebuild_mailcredentials", "Can rebuild cache entries of mailboxes"),
            ("ask_reconnect_mailcredentials", "Can ask users to reconnect mailboxes"),
            ("pause_mailcredentials", "Can switch OAuth of mailboxes off and on"),
            ("disconnect_mailcredentials", "Can disconnect mailboxes"),
            ("reveal_mailcredentials", "Can see tokens of mailboxes in clear"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "provider", "subject", "email"], name="mail_oauth_one_row_per_mailbox"
            ),
            UniqueWherePresent(field="app_key", name="mail_oauth_one_row_per_app_key"),
        ]
        indexes = [
            models.Index(fields=["refresh_at"], name="mail_oauth_due"),
            models.Index(fields=["status", "provider"], name="mail_oauth_status"),
            models.Index(fields=["email"], name="mail_oauth_email"),
            models.Index(fields=["subject"], name="mail_oauth_subject"),
            models.Index(fields=["provider", "refresh_at"], name="mail_oauth_provider_due"),
            models.Index(fields=["provider", "tenant"], name="mail_oauth_lane"),
        ]

    def __str__(self) -> str:
        return f"{self.email or 'the access of the app'} ({self.provider})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save a new row whole; of a stored one, only what is not managed by transitions.

        A copy that was read before a refresh can so never write an old token over a new one.
        Raises `ValueError` when `update_fields` names a managed column.
        """
        if not self._state.adding:
            named = kwargs.get("update_fields")
            if named is not None and self.MANAGED & set(named):
                raise ValueError("Managed columns change by transitions only, never by save().")
            if named is None:
                every = {field.name for field in self._meta.concrete_fields if not field.primary_key}
                kwargs["update_fields"] = every - self.MANAGED
        super().save(*args, **kwargs)

    def place(self, column: str) -> str:
        """Return the name of the place that a column's secret is sealed for."""
        return self.place_of(self.pk, column)

    @staticmethod
    def place_of(pk: UUID, column: str) -> str:
        """Return the same for the row with this primary key."""
        return f"mail_oauth_mailcredentials.{column}:{pk}"

    def sealed(self, column: str, secret: Secret) -> Sealed:
        """Seal a secret for a column of this very row."""
        return seal(secret, self.place(column))

    def open_refresh_token(self) -> Secret:
        """Decrypt the refresh token. Raises `SealError`; an absent token is an empty secret."""
        if self.refresh_token is None:
            return Secret("")
        return unseal(self.refresh_token, self.place("refresh_token"))

    def open_access_token(self) -> AccessToken | None:
        """Decrypt the stored access token, whatever its age; None when there is none. Raises `SealError`."""
        if self.access_token is None or self.token_expiry is None or self.token_issued_at is None:
            return None
        secret = unseal(self.access_token, self.place("access_token"))
        return AccessToken(
            secret.reveal(),
            issued_at=self.token_issued_at,
            expires_at=self.token_expiry,
            generation=self.generation,
        )

    @property
    def is_app_only(self) -> bool:
        """Whether the app itself is let into the mailbox, so that there is no user who could connect it."""
        return self.access != Access.USER

    @property
    def is_connected(self) -> bool:
        """Whether the mailbox can be used: connected, and its OAuth not switched off."""
        return self.status == Status.CONNECTED and self.use_oauth

    @property
    def waits_for_operator(self) -> bool:
        """Whether its tokens will open again as they stand, so that connecting it anew is not its user's task."""
        return self.status == Status.UNREADABLE and self.status_reason not in {Altered.code, Moved.code}

    @property
    def provider_configured(self) -> bool:
        """Whether the settings still have the provider."""
        return self.provider in app_settings().providers

    @property
    def provider_name(self) -> str:
        """What people call the provider; its alias where the settings no longer have it."""
        return provider_for(self.provider).name if self.provider_configured else self.provider

    @property
    def account_page(self) -> str:
        """Where its user withdraws, at the provider, what they granted; empty where nobody knows."""
        return provider_for(self.provider).account_page(self.tenant) if self.provider_configured else ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that the provider granted."""
        return scope_set(self.granted_scopes)

    def _access(self) -> TokenAccess:
        manager: Any = type(self)._default_manager
        # The row may have been read from a replica; what a refresh reads and writes is on the primary.
        return TokenAccess(manager.db_manager(router.db_for_write(type(self), instance=self)))

    def get_access_token(self, *, min_validity: float | None = None, resource: str = "mail") -> AccessToken:
        """Return a token that lives at least `min_validity` seconds (`MIN_VALIDITY` by default).

        Comes from the cache without a query where it can. Raises a `MailboxError`, which says what to do.
        """
        near = nearby(self.pk, min_validity, resource)
        if near is not None:
            return near
        return self._access().get(self.pk, min_validity=min_validity, resource=resource)

    async def aget_access_token(self, *, min_validity: float | None = None, resource: str = "mail") -> AccessToken:
        """The same, awaited."""
        near = nearby(self.pk, min_validity, resource)
        if near is not None:
            return near
        return await self._access().aget(self.pk, min_validity=min_validity, resource=resource)

    def refresh_now(self) -> AccessToken:
        """Refresh without waiting for the token to age or a pause to end. Raises a `MailboxError`."""
        return self._access().refresh(self.pk)

    async def arefresh_now(self) -> AccessToken:
        """The same, awaited."""
        return await self._access().arefresh(self.pk)

    @keeps_locals_in
    def report_rejected(self, access_token: Secret, *, resource: str = "mail") -> AccessToken:
        """Return another token than one that a mail server refused before its end; one refresh per interval.

        Raises a `MailboxError`: `ProviderUnavailable` ("token_rejected") where a new token was refused as well.
        """
        return self._access().report_rejected(self.pk, access_token, resource=resource)

    @keeps_locals_in
    async def areport_rejected(self, access_token: Secret, *, resource: str = "mail") -> AccessToken:
        """The same, awaited."""
        return await self._access().areport_rejected(self.pk, access_token, resource=resource)


@receiver(post_delete, sender=MailCredentials, dispatch_uid="mail_oauth.models")
def _bury(instance: MailCredentials, using: str, **_: Any) -> None:
    """A deleted row, or a deleted user's, answers from no cache."""
    pk = instance.pk
    after_commit(using, lambda: token_cache.bury(pk, LAST_GENERATION))
    after_commit(using, lambda: parking.discard(pk))
