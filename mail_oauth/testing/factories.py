"""Users and connected mailboxes whose tokens the fake provider really issued. For after Django's setup."""

import itertools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from mail_oauth.conf import app_settings, did_you_mean
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.columns import token_changes
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider, provider_for
from mail_oauth.providers.oidc import OpenIDConnect
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.app_mailboxes import added, give_token
from mail_oauth.testing.configuring import personality_of
from mail_oauth.testing.fence import REMEDY
from mail_oauth.testing.provider import FakeProvider

_numbers = itertools.count(1)

LIFETIME = timedelta(hours=1)
"""Of a token whose end a test chooses: so long before that it counts as issued."""


def make_user(username: str | None = None, **fields: Any) -> Any:
    """A user of the site's own model, with a name of its own unless ``username`` is given.

    A model that needs more than a name takes it in ``fields``, or is made by the site's own factory.
    """
    model = get_user_model()
    name = username or f"mailbox-user-{next(_numbers)}"
    fields = {model.USERNAME_FIELD: name, **fields}
    return model._default_manager.create(**fields)


def make_mailbox(
    provider: FakeProvider,
    *,
    user: Any = None,
    alias: str | None = None,
    email: str | None = None,
    seconds_left: float | None = None,
    **columns: Any,
) -> MailCredentials:
    """A connected mailbox, saved, with a grant of its own at ``provider``; see `configuring.configured`.

    ``alias`` is the first of the settings that users connect, ``email`` and ``user`` are new ones unless given.
    ``seconds_left`` moves the row's access token in time, as if it had been issued earlier: with 0 or less it is
    expired. ``columns`` are set on the row last. Issuer and subject are as the provider says, so that whoever connects
    the same account through the site's pages finds this mailbox.

    At an alias with ``"ACCESS": "app"`` it is a mailbox as staff add it: without a user, and without a token until one
    is asked for. There ``seconds_left`` gives it one, and at Microsoft all mailboxes of the app, which share it.
    Raises `ConfigurationError` where the settings have no alias, or one that leads elsewhere than to ``provider``,
    `ValueError` for a ``user`` that there cannot be, and `TypeError` for what is no column.
    """
    check_columns(columns)
    alias = alias or first_alias(app=False)
    theirs, email = provider_at(provider, alias), email or f"ada{next(_numbers)}@example.com"
    if not provider.knows(email):
        provider.add_account(email)
    if theirs.is_app_only:
        if user is not None:
            raise ValueError(f"The mailboxes of {alias!r} have no user: the app itself is let into them.")
        return _of_app(provider, theirs, email, seconds_left, columns)
    personality = personality_of(alias, app_settings().providers[alias])
    client, scope = theirs.setting("CLIENT_ID"), " ".join(theirs.consented_scopes)
    reply = provider.grant(email, personality=personality, scope=scope, client_id=client)
    row = MailCredentials(
        user=user if user is not None else make_user(),
        provider=alias,
        email=email,
        requested_scopes=" ".join(theirs.requested_scopes),
        granted_scopes=" ".join(theirs.requested_scopes),
        **_identity(provider, theirs, email, personality),
    )
    changes = {**token_changes(row, parse_tokens(reply)), **_moved(seconds_left), **columns}
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()
    return row


def provider_at(provider: FakeProvider, alias: str) -> Provider:
    """The provider of an alias, which leads to ``provider``. Raises `ConfigurationError` where it leads elsewhere."""
    theirs = provider_for(alias)
    by_discovery = isinstance(theirs, OpenIDConnect) and "TOKEN_URL" not in theirs.options
    place = str(theirs.setting("ISSUER" if by_discovery else "TOKEN_URL"))
    if not place.startswith(f"{provider.url}/"):
        raise ConfigurationError(
            f'MAIL_OAUTH["PROVIDERS"]["{alias}"] leads to {place}, and not to the fake provider at {provider.url}. '
            f"Ask for the fixture fake_provider, or use configured(). {REMEDY}"
        )
    return theirs


def check_columns(columns: Iterable[str]) -> None:
    """Raise `TypeError` for a name that no column of a mailbox has."""
    known = {name for each in MailCredentials._meta.concrete_fields for name in (each.name, each.attname)}
    for name in columns:
        if name not in known:
            nearest = did_you_mean(name, known | {"seconds_left"})
            raise TypeError(f"A mailbox has no column {name!r}.{nearest}")


def first_alias(*, app: bool) -> str:
    """The first alias of the settings whose mailboxes the ``app`` itself is let into, or that users connect.

    Raises `ConfigurationError` where there is none.
    """
    for alias in app_settings().providers:
        if provider_for(alias).is_app_only == app:
            return alias
    which = 'with "ACCESS": "app"' if app else "whose mailboxes users connect"
    raise ConfigurationError(f'MAIL_OAUTH["PROVIDERS"] has no alias {which}, as this test needs.')


def _of_app(
    provider: FakeProvider, theirs: Provider, email: str, seconds_left: float | None, columns: dict[str, Any]
) -> MailCredentials:
    row = added(theirs.alias, email)
    if seconds_left is not None:
        give_token(provider, theirs, row, _moved(seconds_left))
    if columns:
        MailCredentials.objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()
    return row


def _identity(provider: FakeProvider, theirs: Provider, email: str, personality: str) -> dict[str, str]:
    if not theirs.names_account:
        return {}
    identity = theirs.identity_from(provider.claims_of(email, personality))
    return {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "sign_in_address": identity.sign_in_address,
    }


def _moved(seconds_left: float | None) -> dict[str, Any]:
    if seconds_left is None:
        return {}
    expiry = timezone.now() + timedelta(seconds=seconds_left)
    return {
        "token_issued_at": expiry - LIFETIME,
        "token_expiry": expiry,
        "refresh_at": expiry - timedelta(seconds=app_settings().refresh_margin),
    }
