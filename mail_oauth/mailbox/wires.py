"""IMAP, POP and SMTP by the standard library's clients: connecting, what is offered, SASL, and leaving.

Each wire sends a mechanism's first message on a line of its own, after the server's go-ahead: Microsoft's POP wants
it so, and a token is longer than the line of a command may be (RFC 4954 §4).
"""

from __future__ import annotations

import binascii
import contextlib
import imaplib
import poplib
import smtplib
import socket
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import ClassVar, Generic, TypeVar

from mail_oauth.frames import keeps_locals_in
from mail_oauth.mailbox.clients import ImapPlain, ImapTLS, PopPlain, PopTLS, SmtpPlain, SmtpTLS
from mail_oauth.mailbox.lines import Line, secured
from mail_oauth.mailbox.refusals import Refused, imap_refusal, pop_refusal, smtp_refusal
from mail_oauth.mailbox.sasl import answer_to_error, initial_response
from mail_oauth.tokens import Secret
from mail_oauth.transport import deadline

C = TypeVar("C", bound=imaplib.IMAP4 | poplib.POP3 | smtplib.SMTP)

GOODBYE_SECONDS = 5.0
"""How long a server may take to hear a goodbye that says nothing."""

BROKEN = (OSError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException)
"""What the clients raise when a server does not answer as it should."""


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Raise `ConnectionError`, one of `BROKEN`, for an answer on which a client's own reading stumbles."""
    try:
        yield
    except BROKEN:  # some of them are ValueErrors, too
        raise
    except (ValueError, LookupError, MemoryError):
        raise ConnectionError("The server's answer cannot be read.") from None


class Wire(ABC, Generic[C]):
    """A protocol over the standard library's client `C`."""

    name: ClassVar[str]
    """As in the settings: IMAP, POP or SMTP."""

    def connect(self, line: Line) -> C:
        """Connect and read the greeting; TLS is up afterwards. Raises `TransportError`, or one of `BROKEN`."""
        with readable():
            client = self._greeted(line)
        try:
            with readable():
                self._prepare(client, line)
            secured(client.sock)
        except BaseException:
            self.drop(client)
            raise
        return client

    @abstractmethod
    def _greeted(self, line: Line) -> C: ...

    @abstractmethod
    def _prepare(self, client: C, line: Line) -> None:
        """Begin TLS where it is not up yet, and learn what the server can do."""

    def mechanisms(self, client: C) -> frozenset[str]:
        """Return the SASL mechanisms that the server offers, in capitals. Raises one of `BROKEN`."""
        with readable():
            return self._mechanisms(client)

    @abstractmethod
    def _mechanisms(self, client: C) -> frozenset[str]: ...

    @keeps_locals_in
    def sign_in(self, client: C, mechanism: str, user: str, token: Secret, line: Line) -> None:
        """Show a token. Raises `Refused` with the server's answer, one of `BROKEN`, or what `initial_response` raises."""
        server = line.server
        first = initial_response(mechanism, user, token, host=server.host, port=server.port)
        with readable():
            self._authenticate(client, mechanism, first, answer_to_error(mechanism))

    @abstractmethod
    def _authenticate(self, client: C, mechanism: str, first: bytes, surrender: bytes) -> None: ...

    @abstractmethod
    def leave(self, client: C) -> None:
        """Say goodbye and hang up."""

    @abstractmethod
    def drop(self, client: C) -> None:
        """Hang up without a goodbye."""


class Imap(Wire[imaplib.IMAP4]):
    """IMAP (RFC 9051 §6.2.2)."""

    name = "IMAP"

    def _greeted(self, line: Line) -> imaplib.IMAP4:
        return ImapPlain(line) if line.starttls else ImapTLS(line)

    def _prepare(self, client: imaplib.IMAP4, line: Line) -> None:
        if line.starttls:
            client.starttls(line.context)

    def _mechanisms(self, client: imaplib.IMAP4) -> frozenset[str]:
        """Read them from CAPABILITY."""
        words = (str(word).upper() for word in client.capabilities)
        return frozenset(word.removeprefix("AUTH=") for word in words if word.startswith("AUTH="))

    def _authenticate(self, client: imaplib.IMAP4, mechanism: str, first: bytes, surrender: bytes) -> None:
        challenges: list[bytes] = []

        def answer(challenge: bytes) -> bytes:
            challenges.append(challenge)
            return first if len(challenges) == 1 else surrender

        try:
            client.authenticate(mechanism, answer)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            raise Refused(imap_refusal(str(error), *challenges[1:2])) from None
        except binascii.Error:  # the challenge was no base64
            raise Refused(imap_refusal("")) from None

    def leave(self, client: imaplib.IMAP4) -> None:
        """Log out, and hang up."""
        _goodbye(client.logout)
        self.drop(client)

    def drop(self, client: imaplib.IMAP4) -> None:
        """Close file and socket."""
        with contextlib.suppress(OSError):
            client.shutdown()


class Pop(Wire[poplib.POP3]):
    """POP3 (RFC 5034)."""

    name = "POP"

    def _greeted(self, line: Line) -> poplib.POP3:
        return PopPlain(line) if line.starttls else PopTLS(line)

    def _prepare(self, client: poplib.POP3, line: Line) -> None:
        if line.starttls:
            client.stls(line.context)

    def _mechanisms(self, client: poplib.POP3) -> frozenset[str]:
        """Read them from CAPA."""
        try:
            return frozenset(word.upper() for word in client.capa().get("SASL", []))
        except poplib.error_proto:  # it knows no CAPA (RFC 2449)
            return frozenset()

    def _authenticate(self, client: poplib.POP3, mechanism: str, first: bytes, surrender: bytes) -> None:
        challenge = b""
        try:
            self._say(client, f"AUTH {mechanism}")
            answer = self._say(client, b64encode(first).decode())
            if not answer.startswith(b"+OK"):
                challenge = _decoded(answer[1:])
                answer = self._say(client, b64encode(surrender).decode())
        except poplib.error_proto as error:
            text = error.args[0] if error.args else b""
            told = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
            raise Refused(pop_refusal(told.removeprefix("-ERR"), challenge)) from None
        if not answer.startswith(b"+OK"):  # it asks on
            raise Refused(pop_refusal("", challenge))

    @staticmethod
    def _say(client: poplib.POP3, text: str) -> bytes:
        """Send a line, and return the one that answers it. poplib has no public way to do either."""
        answer: bytes = client._shortcmd(text)  # type: ignore[attr-defined]
        return answer

    def leave(self, client: poplib.POP3) -> None:
        """Say goodbye, by which messages are deleted (RFC 1939 §6): whether that went well is the caller's concern."""
        sock: socket.socket | None = client.sock
        if sock is None:  # said already
            return
        try:
            client.quit()
        finally:
            self.drop(client)

    def drop(self, client: poplib.POP3) -> None:
        """Close file and socket, by which nothing is deleted (RFC 1939 §6)."""
        with contextlib.suppress(OSError):
            client.close()


class Smtp(Wire[smtplib.SMTP]):
    """SMTP submission (RFC 6409, RFC 4954)."""

    name = "SMTP"

    def _greeted(self, line: Line) -> smtplib.SMTP:
        return SmtpPlain(line) if line.starttls else SmtpTLS(line)

    def _prepare(self, client: smtplib.SMTP, line: Line) -> None:
        self._say_hello(client)
        if line.starttls:
            client.starttls(context=line.context)
            self._say_hello(client)

    @staticmethod
    def _say_hello(client: smtplib.SMTP) -> None:
        """Say EHLO. Who does not know it offers no mechanism; any other answer than yes is raised, which smtplib does not."""
        code, text = client.ehlo()
        if code != 250 and code < 500:
            raise smtplib.SMTPHeloError(code, text)

    def _mechanisms(self, client: smtplib.SMTP) -> frozenset[str]:
        """Read them from the answer to EHLO."""
        return frozenset(client.esmtp_features.get("auth", "").upper().split())

    def _authenticate(self, client: smtplib.SMTP, mechanism: str, first: bytes, surrender: bytes) -> None:
        challenge = b""
        code, text = client.docmd("AUTH", mechanism)
        if code == 334:
            code, text = client.docmd(b64encode(first).decode())
        if code == 334:
            challenge = _decoded(text)
            code, text = client.docmd(b64encode(surrender).decode())
        if code != 235:
            raise Refused(smtp_refusal(code, text.decode("utf-8", "replace"), challenge))

    def leave(self, client: smtplib.SMTP) -> None:
        """Quit, and hang up."""
        _goodbye(client.quit)
        self.drop(client)

    def drop(self, client: smtplib.SMTP) -> None:
        """Close file and socket."""
        with contextlib.suppress(OSError):
            client.close()


IMAP, POP, SMTP = Imap(), Pop(), Smtp()


def _decoded(challenge: bytes) -> bytes:
    try:
        return b64decode(challenge.strip(), validate=True)
    except ValueError:
        return b""


def _goodbye(say: Callable[[], object]) -> None:
    """Do not mind if nobody hears it."""
    with contextlib.suppress(*BROKEN), deadline(GOODBYE_SECONDS), readable():
        say()
