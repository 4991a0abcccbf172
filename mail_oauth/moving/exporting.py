"""The export: each mailbox as one line of JSON, sealed as a whole, or in the open for whoever explicitly wants it so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from mail_oauth.encryption import seal
from mail_oauth.exceptions import SealError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import PAGE
from mail_oauth.moving.sources.json_lines import SCHEMA, place_of
from mail_oauth.moving.standing import standing_of
from mail_oauth.tokens import Secret

Line = str | SealError
"""A line, or why the tokens of a mailbox cannot be opened."""


def export(
    rows: MailCredentialsQuerySet, *, user_field: str = "pk", readable: bool = False
) -> Iterator[list[tuple[MailCredentials, Line]]]:
    """Give the lines of users' mailboxes, page by page in constant memory; each is read as it is at that moment.

    Those of the app's own access hold nobody's grant, and are left out.
    `user_field` is the users' column by which a line names them. Sealed lines hold nothing in clear but a random name, the
    mailbox's primary key, and the fingerprint of their key: who has the keys of this site reads them, by `import jsonl`.
    """
    make: Callable[[MailCredentials, str], str] = _readable if readable else _sealed
    ordered = rows.filter(access=Access.USER).select_related("user").order_by("pk")
    page = list(ordered[:PAGE])
    while page:
        yield [(row, _line(row, user_field, make)) for row in page]
        page = list(ordered.filter(pk__gt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []


def _line(row: MailCredentials, user_field: str, make: Callable[[MailCredentials, str], str]) -> Line:
    try:
        return make(row, user_field)
    except SealError as error:
        return error


@keeps_locals_in
def _readable(row: MailCredentials, user_field: str) -> str:
    return json.dumps({"id": str(row.pk), **_fields(row, user_field)}, ensure_ascii=False)


@keeps_locals_in
def _sealed(row: MailCredentials, user_field: str) -> str:
    name = str(row.pk)
    sealed = seal(Secret(json.dumps(_fields(row, user_field))), place_of(name))
    return json.dumps({"mail_oauth": SCHEMA, "id": name, "key": sealed.fingerprint, "sealed": sealed.text})


@keeps_locals_in
def _fields(row: MailCredentials, user_field: str) -> dict[str, Any]:
    """Return all that `import jsonl` reads, so that a mailbox comes back as it is."""
    access_token, user = row.open_access_token(), getattr(row.user, user_field)
    return {
        "mail_oauth": SCHEMA,
        "user": "" if user is None else str(user),
        "provider": row.provider,
        "email": row.email,
        "refresh_token": row.open_refresh_token().reveal() or None,
        "access_token": access_token.reveal() if access_token else None,
        "issued_at": _spelt(row.token_issued_at),
        "expires_at": _spelt(row.token_expiry),
        "scopes": list(row.scopes),
        "issuer": row.issuer,
        "subject": row.subject,
        "tenant": row.tenant,
        "use_oauth": row.use_oauth,
        "address_typed": row.address_typed,
        **standing_of(row),
    }


def _spelt(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
