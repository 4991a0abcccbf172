"""Mailboxes that the app itself is let into, added as staff add them, at the fake provider."""

from typing import Any
from uuid import UUID

from mail_oauth.cache import token_cache
from mail_oauth.connect.app_only import add_mailboxes
from mail_oauth.managers.app_tokens import holder, mailbox_key
from mail_oauth.managers.columns import token_changes
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider
from mail_oauth.providers.google import Google
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.app_rules import JWT_BEARER
from mail_oauth.testing.provider import FakeProvider


def added(alias: str, email: str) -> MailCredentials:
    """The mailbox of that address, which the service behind the admin's page and the command adds; no token is asked for."""
    add_mailboxes(alias, [email])
    row: MailCredentials = MailCredentials.objects.get(app_key=mailbox_key(alias, email))
    return row


def give_token(provider: FakeProvider, theirs: Provider, row: MailCredentials, moved: dict[str, Any]) -> None:
    """Save the access token that opens a mailbox, its own or the app's, with the columns in ``moved`` changed."""
    pk: UUID = row.pk
    if theirs.shares_app_token:
        pk = holder(Transitions(MailCredentials.objects), theirs)
    reply = provider.grant_app(theirs.setting("TOKEN_URL"), _form(theirs, row.email))
    changes = token_changes(MailCredentials.objects.get(pk=pk), parse_tokens(reply)) | moved
    MailCredentials.objects.filter(pk=pk).update(**changes)
    token_cache.forget(pk)


def _form(theirs: Provider, email: str) -> dict[str, str]:
    """What `Provider.ask_for_app` sends."""
    endpoint, scope = theirs.token_endpoint(), theirs.app_scope
    if isinstance(theirs, Google):
        shown = theirs.service_account().assertion(subject=email, scope=scope, audience=endpoint.url)
        return {"grant_type": JWT_BEARER, "assertion": shown.reveal()}
    secret = endpoint.client_secret.reveal() if endpoint.client_secret else ""
    client = {"client_id": endpoint.client_id, "client_secret": secret}
    return {"grant_type": "client_credentials", "scope": scope, **client}
