"""One connection: lines and literals in, lines out, and SASL in between (RFC 3501 sections 2.2 and 6.2.2)."""

import asyncio
import contextlib
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

from mail_oauth.testing.mailservers.imap.session import CAPABILITIES, Session
from mail_oauth.testing.mailservers.imap.syntax import (
    LARGEST_COMMAND,
    BadCommand,
    Command,
    literal_at_end,
    name,
    parse,
    word,
)
from mail_oauth.testing.mailservers.postoffice import PostOffice
from mail_oauth.testing.mailservers.sasl import MECHANISMS, Claim, claim_in, error_challenge

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 300
_MOST_ERRORS: Final = 50
"""So many bad commands in one connection are no client's."""

Refuses = Callable[[Claim], tuple[str, str]]
"""Why a claim is refused (see `access.refusal`)."""


class Connection:
    """Talks with one client until either hangs up."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, post: PostOffice, refuses: Refuses
    ) -> None:
        self._reader, self._writer, self._refuses = reader, writer, refuses
        self._session = Session(post)
        self._errors = 0

    async def serve(self) -> None:
        """Greet, answer, and hang up; a client that goes away is no event."""
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._converse()
        except Exception as error:  # noqa: BLE001  # a client must see an end, and no traceback quotes its tokens
            log.error("The fake IMAP server failed with %s.", type(error).__name__)
        finally:
            self._writer.close()

    async def _converse(self) -> None:
        await self._say(b"* OK [CAPABILITY " + CAPABILITIES + b"] A fake IMAP server.")
        while self._errors < _MOST_ERRORS:
            text = await self._heard()
            if text is None:
                await self._say(b"* BYE That is too long.")
                return
            try:
                command = parse(text)
            except BadCommand as bad:
                await self._refuse(f"{bad.tag} BAD {bad}".encode())
                continue
            if command.name == "LOGOUT":
                await self._say(b"* BYE Until then.", command.tag.encode() + b" OK LOGOUT is done.")
                return
            if command.name == "AUTHENTICATE":
                await self._authenticate(command)
            else:
                await self._say(*self._session.answer(command))
        await self._say(b"* BYE These are no commands.")

    async def _heard(self) -> bytes | None:
        """The next command, with its literals; None where it is too long."""
        text = b""
        while True:
            line = await self._line()
            if line is None:
                return None
            text += line
            announced = literal_at_end(line)
            if announced is None:
                return text
            size, waits = announced
            if len(text) + size > LARGEST_COMMAND:
                return None
            if waits:
                await self._say(b"+ Go on.")
            async with asyncio.timeout(IDLE_SECONDS):
                text += await self._reader.readexactly(size)

    async def _line(self) -> bytes | None:
        """The next line; None where it is too long."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            return None

    async def _say(self, *lines: bytes) -> None:
        self._writer.write(b"".join(line + b"\r\n" for line in lines))
        await self._writer.drain()

    async def _refuse(self, line: bytes) -> None:
        self._errors += 1
        await self._say(line)

    # --- SASL ---

    async def _authenticate(self, command: Command) -> None:
        tag = command.tag.encode()
        try:
            mechanism = word(command.arguments, 0)
            given = name(command.arguments, 1) if len(command.arguments) > 1 else None
            if self._session.user:
                raise BadCommand("You have signed in already.")
            if mechanism not in MECHANISMS:
                await self._refuse(tag + b" NO [CANNOT] There is no such mechanism.")
                return
            response = (
                await self._asked(b"") if given is None else _decoded(b"" if given == "=" else given.encode())
            )
        except BadCommand as bad:
            await self._refuse(tag + b" BAD " + str(bad).encode())
            return
        await self._judge(tag, mechanism, response)

    async def _judge(self, tag: bytes, mechanism: str, response: bytes) -> None:
        refused = tag + b" NO [AUTHENTICATIONFAILED] Authentication failed."
        try:
            claim = claim_in(mechanism, response)
        except ValueError:
            await self._refuse(refused)
            return
        status, scope = self._refuses(claim)
        if status:
            with contextlib.suppress(BadCommand):  # whatever is answered, it is a no
                await self._asked(error_challenge(mechanism, status, scope))
            await self._refuse(refused)
            return
        self._session.user = claim.user
        await self._say(tag + b" OK [CAPABILITY " + CAPABILITIES + b"] Signed in.")

    async def _asked(self, challenge: bytes) -> bytes:
        """What the client answers to a challenge. Raises `BadCommand`, also where it gives up."""
        await self._say(b"+ " + b64encode(challenge))
        line = await self._line()
        if line is None:
            raise BadCommand("That is too long.")
        return _decoded(line.strip())


def _decoded(text: bytes) -> bytes:
    if text == b"*":
        raise BadCommand("You gave up.")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise BadCommand("That is no base64.") from None
