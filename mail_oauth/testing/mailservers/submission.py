"""SMTP by aiosmtpd, for whoever shows a token: nothing else of this package needs it."""

import asyncio
import binascii
import logging
from base64 import b64decode
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from mail_oauth.testing.mailservers.access import Tokens, refusal
from mail_oauth.testing.mailservers.postoffice import PostOffice, Taken
from mail_oauth.testing.mailservers.sasl import claim_in, error_challenge

log = logging.getLogger(__name__)

LARGEST_MESSAGE: Final = 10 * 1024 * 1024
_MOST_RECIPIENTS: Final = 100
_IDLE_SECONDS: Final = 300


class Submission(SMTP):
    """One connection, under TLS from its first byte."""

    line_length_limit = 12 * 1024
    """RFC 4954 section 4: so long may a line with a token be."""

    def __init__(self, handler: "Handler", open_transports: set[asyncio.BaseTransport]) -> None:
        self._open_transports = open_transports
        super().__init__(
            handler,
            hostname="localhost",
            ident="A fake SMTP server",
            data_size_limit=LARGEST_MESSAGE,
            enable_SMTPUTF8=True,
            timeout=_IDLE_SECONDS,
            # TLS is outside of what aiosmtpd sees; that nobody sends without having signed in, `Handler` looks after.
            auth_require_tls=False,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be known to whoever stops the server."""
        self._open_transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Be forgotten."""
        if self.transport is not None:
            self._open_transports.discard(self.transport)
        super().connection_lost(error)


class Handler:
    """What aiosmtpd asks: who signs in, who may send, and where mail goes. Its methods have aiosmtpd's names."""

    def __init__(self, provider: Tokens, post: PostOffice) -> None:
        self._provider, self._post = provider, post

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """Sign in by XOAUTH2."""
        return await self._signed_in(server, "XOAUTH2", args)

    async def auth_OAUTHBEARER(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """Sign in by OAUTHBEARER."""
        return await self._signed_in(server, "OAUTHBEARER", args)

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Let people send as themselves."""
        if not session.authenticated:
            return "530 5.7.0 Authentication required"  # RFC 4954 section 6
        if address.lower() != str(session.auth_data).lower():
            return "550 5.7.60 SMTP; Client does not have permissions to send as this sender"  # Microsoft's words
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take any recipient, to a number."""
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"  # RFC 5321 section 4.5.3.1.10
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message, and deliver it to those whom the provider knows."""
        content = envelope.original_content or b""
        recipients = tuple(envelope.rcpt_tos)
        self._post.take(Taken(sender=envelope.mail_from or "", recipients=recipients, content=content))
        for address in {each.lower() for each in recipients}:
            if self._provider.knows(address):
                self._post.deliver(address, content)
        return "250 2.0.0 OK"

    async def handle_exception(self, error: Exception) -> str:
        """Log what went wrong by its type: its message may quote a token."""
        log.error("The fake SMTP server failed with %s.", type(error).__name__)
        return "451 4.3.0 The fake SMTP server failed"

    async def _signed_in(self, server: SMTP, mechanism: str, args: list[str]) -> AuthResult:
        try:
            response = b64decode(args[1], validate=True) if len(args) > 1 else await _asked(server, b"")
        except (binascii.Error, ValueError):
            return AuthResult(success=False, handled=False, message="501 5.5.2 Cannot be read")
        if response is None:
            return AuthResult(success=False)
        try:
            claim = claim_in(mechanism, response)
        except ValueError:
            return AuthResult(success=False, handled=False)
        status, scope = refusal(self._provider, "SMTP", claim)
        if not status:
            return AuthResult(success=True, auth_data=claim.user)
        answered = await _asked(server, error_challenge(mechanism, status, scope))
        return AuthResult(success=False, handled=answered is None)


async def _asked(server: SMTP, challenge: bytes) -> bytes | None:
    """What the client answers to a challenge; None where it has been told already that it cannot go on.

    After a line that is too long, what is left of it would be taken for commands: the connection ends.
    """
    try:
        answer: Any = await server.challenge_auth(challenge)
    except ValueError:
        await server.push("500 5.5.6 Authentication exchange line is too long")  # RFC 4954 section 6
        if server.transport is not None:
            server.transport.close()
        return None
    return answer if isinstance(answer, bytes) else None
