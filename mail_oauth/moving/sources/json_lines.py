"""JSON Lines: from anywhere else, and what `export` wrote. One object in each line (jsonlines.org).

Members: `user`, `provider`, `email`, `refresh_token`; and, where they are known, `access_token`, `expires_at`, `issued_at`,
`scopes`, `client_id`, `issuer`, `subject`, `tenant`, `use_oauth`, `address_typed`. A line of `export` has the version of its
members as `mail_oauth`, and all that is said of a mailbox; a sealed one has `id` and `sealed` instead, and opens with the keys
of the site that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from mail_oauth.encryption import unseal
from mail_oauth.exceptions import SealError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.moving.entries import PAGE, Entry, Found, SourceError, Unreadable, shown
from mail_oauth.moving.mistakes import apart
from mail_oauth.moving.sources.paging import paged
from mail_oauth.moving.standing import standing_in
from mail_oauth.moving.values import (
    BadValue,
    access_token_in,
    address_in,
    end_in,
    flag_in,
    moment_in,
    object_in,
    refresh_token_in,
    scopes_in,
    text_in,
)
from mail_oauth.sealing import Sealed
from mail_oauth.transport.bodies import BadBody

LONGEST = 1024 * 1024
"""The longest line that is read, in bytes."""


SCHEMA = 1
"""The version of an exported line: raised when a member changes its meaning or goes, not when one is added."""


class JSONLines:
    """A file, or standard input."""

    name = "jsonl"
    names_users_by_key = False
    tokens_are_for_mail = True

    def __init__(self, path: Path, stdin: IO[bytes] | None = None) -> None:
        """Read `path`, or `stdin` instead. Raises `SourceError`."""
        if stdin is None and not path.is_file():
            raise SourceError(f"There is no file {shown(str(path))}.")
        self._path, self._stdin = path, stdin

    def about(self) -> int:
        """Count the lines of a file."""
        if self._stdin is not None:
            return 0
        with self._opened() as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))

    def pages(self) -> Iterator[list[Found]]:
        """Read them in their order."""
        with self._opened() as lines:
            yield from paged(_each(lines), PAGE)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if self._stdin is not None:
            yield self._stdin
            return
        try:
            with self._path.open("rb") as lines:
                yield lines
        except OSError as error:
            raise SourceError(f"{shown(str(self._path))} cannot be read: {error.strerror}.") from None


def _each(lines: IO[bytes]) -> Iterator[Found]:
    for number, line in enumerate(_lines(lines), start=1):
        if line.strip():
            yield from apart(where := f"line {number}", partial(_found, where, line))


def _lines(lines: IO[bytes]) -> Iterator[bytes]:
    """Give each line; of one that is too long the beginning, which is too long as well."""
    while line := lines.readline(LONGEST + 1):
        yield line
        while len(line) > LONGEST and not line.endswith(b"\n"):
            line = lines.readline(LONGEST + 1)
            if not line:
                return


@keeps_locals_in
def _found(where: str, line: bytes) -> list[Found]:
    try:
        if len(line) > LONGEST:
            raise BadValue("too_large")
        fields: Mapping[str, Any] = object_in(line)
        _check_version(fields)
        if "sealed" in fields:
            fields = {"mail_oauth": SCHEMA, **_unsealed(fields)}
            _check_version(fields)
        return [_entry(where, fields)]
    except (BadBody, BadValue) as bad:
        return [Unreadable(where=where, reason=bad.reason)]
    except SealError as error:
        return [Unreadable(where=where, reason=error.brief)]


def _check_version(fields: Mapping[str, Any]) -> None:
    version = fields.get("mail_oauth", SCHEMA)
    if type(version) is not int or version < 1:
        raise BadValue("mail_oauth")
    if version > SCHEMA:
        raise BadValue("newer_schema")


def place_of(name: str) -> str:
    """Return the place that an exported mailbox is sealed for."""
    return f"export:{name}"


def _unsealed(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Open a sealed line: all that it says is inside, so that nobody gives a grant to another user."""
    name, sealed = fields.get("id"), fields.get("sealed")
    if not (isinstance(name, str) and name.isprintable() and isinstance(sealed, str) and sealed.isprintable()):
        raise BadValue("sealed")
    return object_in(unseal(Sealed(sealed), place_of(name)).reveal().encode())


def _entry(where: str, fields: Mapping[str, Any]) -> Entry:
    access_token = access_token_in(fields, "access_token")
    return Entry(
        where=where,
        user=text_in(fields.get("user"), "user"),
        provider=text_in(fields.get("provider"), "provider", longest=64),
        email=address_in({"email": fields.get("email")}),
        refresh_token=refresh_token_in(fields, "refresh_token"),
        access_token=access_token,
        expires_at=end_in(fields.get("expires_at"), "expires_at", access_token),
        issued_at=moment_in(fields.get("issued_at"), "issued_at"),
        scopes=scopes_in(fields.get("scopes")),
        client_id=text_in(fields.get("client_id"), "client_id"),
        issuer=text_in(fields.get("issuer"), "issuer"),
        subject=text_in(fields.get("subject"), "subject"),
        tenant=text_in(fields.get("tenant"), "tenant", longest=128),
        use_oauth=flag_in(fields.get("use_oauth"), "use_oauth") is not False,
        address_typed=flag_in(fields.get("address_typed"), "address_typed") is True,
        standing=standing_in(fields) if "mail_oauth" in fields else None,
    )
