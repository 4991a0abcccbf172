"""Token stores of O365: its files, and the table of its Django backend.

From version 2.1 on they hold MSAL's cache: the sections `RefreshToken`, `AccessToken`, `IdToken` and `Account`, each entry of
which names its `home_account_id` and `client_id` (msal/token_cache.py). Before, one object with `refresh_token`,
`access_token`, `expires_at` and `scope`. A store that its site has encrypted is unreadable here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from mail_oauth.frames import keeps_locals_in
from mail_oauth.moving.entries import PAGE, Entry, Found, SourceError, Unreadable, shown
from mail_oauth.moving.mistakes import apart
from mail_oauth.moving.sources.database import model_of, walk
from mail_oauth.moving.sources.paging import paged
from mail_oauth.moving.values import (
    BadValue,
    access_token_in,
    address_in,
    claims_in,
    moment_in,
    object_in,
    refresh_token_in,
    scopes_in,
    text_in,
)
from mail_oauth.transport.bodies import BadBody

LONGEST = 1024 * 1024
"""The largest store that is read, in bytes; one of a single user has some ten thousand."""

PROVIDER = "microsoft"

_OF_ACCOUNT = ("home_account_id",)
_OF_GRANT = ("home_account_id", "client_id")

_DEFAULT_NAME = "o365_token"
"""What O365 calls a file of which nobody says whose it is."""


class O365Files:
    """A file, or every file of a folder. Whose it is says `user`, else the file's name without its ending."""

    name = "o365"
    names_users_by_key = False
    tokens_are_for_mail = False

    def __init__(self, path: Path, user: str = "") -> None:
        """Read what lies at `path`. Raises `SourceError`."""
        if not path.exists():
            raise SourceError(f"There is no file {shown(str(path))}.")
        self._path, self._user = path, user

    def about(self) -> int:
        """Count the files."""
        return sum(1 for _ in self._files())

    def pages(self) -> Iterator[list[Found]]:
        """Read them, in the order of their names."""
        every = (apart(shown(file.name), partial(self._read, file)) for file in self._files())
        return paged(chain.from_iterable(every), PAGE)

    def _files(self) -> list[Path]:
        try:
            found = sorted(self._path.iterdir()) if self._path.is_dir() else [self._path]
        except OSError as error:
            raise SourceError(f"{shown(str(self._path))} cannot be read: {error.strerror}.") from None
        return [file for file in found if file.is_file()]

    def _read(self, file: Path) -> list[Found]:
        where = shown(file.name)
        try:
            with file.open("rb") as opened:
                content = opened.read(LONGEST + 1)
        except OSError:
            return [Unreadable(where=where, reason="file")]
        return _entries(where, self._user or file.stem.removesuffix(_DEFAULT_NAME), content)


class O365Table:
    """The model that a site gave to O365's `DjangoTokenBackend`, which adds a row at each save: the last one counts."""

    name = "o365"
    tokens_are_for_mail = False

    def __init__(self, label: str, user: str = "", user_column: str = "") -> None:
        """Read the table of `app.Model`, whose rows belong to `user`, or to whom their `user_column` names.

        Raises `SourceError`.
        """
        model = model_of(label, "name the one that DjangoTokenBackend was given")
        names = {field.name for field in model._meta.concrete_fields}
        if "token" not in names or (user_column and user_column not in names):
            raise SourceError(f"{label} has no column {user_column if 'token' in names else 'token'}.")
        self._user, self._label = user, model._meta.object_name
        self._column = model._meta.get_field(user_column).attname if user_column else ""
        self.names_users_by_key = bool(user_column) and model._meta.get_field(user_column).is_relation
        self._rows = model._default_manager.all()

    def about(self) -> int:
        """Count the rows."""
        return int(self._rows.count())

    def pages(self) -> Iterator[list[Found]]:
        """Read them, the last ones first."""
        return walk(self._rows, self._read)

    def _read(self, row: Any) -> list[Found]:
        user = self._user or (getattr(row, self._column) if self._column else "")
        return _entries(f"{self._label} {row.pk}", "" if user is None else str(user), row.token)


@keeps_locals_in
def _entries(where: str, user: str, content: Any) -> list[Found]:
    """Return what a store holds: as bytes, as text, or as the object that a JSON column gives."""
    try:
        store = content if isinstance(content, Mapping) else _object(content)
        if "refresh_token" in store or "access_token" in store:
            return [_of_old(where, user, store)]
        found: list[Found] = [*_of_cache(where, user, store)]
        # Accounts without a refresh token are told as such; a store of nothing at all is none of its kind.
        return found or [_without(where, user, store)]
    except (BadValue, BadBody) as bad:
        return [Unreadable(where=where, reason=bad.reason)]


def _object(content: Any) -> Mapping[str, Any]:
    try:
        raw = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError:
        raise BadValue("encoding") from None
    if not isinstance(raw, bytes):
        raise BadValue("not_an_object")
    if len(raw) > LONGEST:
        raise BadValue("too_large")
    return object_in(raw)


def _section(store: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    section = store.get(name) or {}
    if not isinstance(section, Mapping) or not all(isinstance(each, Mapping) for each in section.values()):
        raise BadValue("not_a_token_cache")
    return list(section.values())


def _of_cache(where: str, user: str, store: Mapping[str, Any]) -> Iterator[Entry]:
    """Read the refresh tokens of MSAL's cache, with what the other sections say of the account of each."""
    grants = _section(store, "RefreshToken")
    tokens, ids = _by(store, "AccessToken", *_OF_GRANT), _by(store, "IdToken", *_OF_GRANT)
    accounts = _by(store, "Account", *_OF_ACCOUNT)
    for grant in grants:
        of_grant, account = _named(grant, *_OF_GRANT), accounts.get(_named(grant, *_OF_ACCOUNT), {})
        claims = claims_in(ids.get(of_grant, {}).get("secret"))
        yield _of_grant(
            where, user, grant, tokens.get(of_grant, {}), address_in(account) or address_in(claims), claims
        )


def _by(store: Mapping[str, Any], section: str, *names: str) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Return the first of a section's entries for each account, or grant: one look at each, however many there are."""
    found: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for each in _section(store, section):
        found.setdefault(_named(each, *names), each)
    found.pop((), None)
    return found


def _named(each: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """Return what an entry is found by; nothing where it does not say all of it, or not as text."""
    values = tuple(value for name in names if isinstance(value := each.get(name), str))
    return values if len(values) == len(names) else ()


def _of_grant(
    where: str,
    user: str,
    grant: Mapping[str, Any],
    token: Mapping[str, Any],
    email: str,
    claims: Mapping[str, Any],
) -> Entry:
    return Entry(
        where=where,
        user=user,
        provider=PROVIDER,
        email=email,
        refresh_token=refresh_token_in(grant, "secret"),
        access_token=access_token_in(token, "secret"),
        issued_at=moment_in(token.get("cached_at") or grant.get("last_modification_time"), "cached_at"),
        expires_at=moment_in(token.get("expires_on")),
        scopes=scopes_in(grant.get("target")),
        client_id=text_in(grant.get("client_id"), "client_id"),
        claims=claims,
    )


def _of_old(where: str, user: str, store: Mapping[str, Any]) -> Entry:
    claims = claims_in(store.get("id_token"))
    return Entry(
        where=where,
        user=user,
        provider=PROVIDER,
        email=address_in(claims) or address_in(store),
        refresh_token=refresh_token_in(store, "refresh_token"),
        access_token=access_token_in(store, "access_token"),
        expires_at=moment_in(store.get("expires_at")),
        scopes=scopes_in(store.get("scope")),
        claims=claims,
    )


def _without(where: str, user: str, store: Mapping[str, Any]) -> Found:
    accounts = _section(store, "Account")
    if not accounts:
        return Unreadable(where=where, reason="not_a_token_cache")
    return Entry(where=where, user=user, provider=PROVIDER, email=address_in(accounts[0]))
