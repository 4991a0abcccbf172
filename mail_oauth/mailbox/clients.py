"""The standard library's clients, connecting by a `Line`."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from django.core.mail.utils import DNS_NAME

from mail_oauth.mailbox.lines import Line

LONGEST_LITERAL = 64 * 1024
"""How many bytes an IMAP server may send as one literal before somebody is signed in; none is of use there."""


class _Dials:
    """Has a client of the standard library connect by a line."""

    _line: Line

    def _create_socket(self, timeout: float | None) -> socket.socket:  # imaplib's and poplib's
        return self._line.connect()

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:  # smtplib's
        return self._line.connect()


class _Imap(_Dials, imaplib.IMAP4):
    """Reads no long literal before somebody is signed in: imaplib takes memory for as much as the server announces."""

    _signed_in = False

    def read(self, size: int) -> bytes:
        if size > LONGEST_LITERAL and not self._signed_in:
            raise self.abort("a literal is too long")
        return super().read(size)

    def authenticate(self, mechanism: str, authobject: Callable[[bytes], bytes | None]) -> tuple[str, str]:
        answer = super().authenticate(mechanism, authobject)
        self._signed_in = True
        return answer


class ImapTLS(_Imap, imaplib.IMAP4_SSL):
    """IMAP with TLS from the first byte."""

    def __init__(self, line: Line) -> None:
        """Connect by `line`, and read the greeting."""
        self._line = line
        super().__init__(line.server.host, line.server.port, ssl_context=line.context)


class ImapPlain(_Imap):
    """IMAP that begins in clear."""

    def __init__(self, line: Line) -> None:
        """Connect by `line`, and read the greeting."""
        self._line = line
        super().__init__(line.server.host, line.server.port)


class _Pop(_Dials, poplib.POP3):
    """Reads the tags of CAPA in any case (RFC 2449 §5), which poplib does not."""

    sock: Any = None
    file: Any = None

    def capa(self) -> dict[str, list[str]]:
        return {tag.upper(): words for tag, words in super().capa().items()}


class PopTLS(_Pop, poplib.POP3_SSL):
    """POP with TLS from the first byte."""

    def __init__(self, line: Line) -> None:
        """Connect by `line`, and read the greeting."""
        self._line = line
        with _closing_on_error(self):
            super().__init__(line.server.host, line.server.port, context=line.context)


class PopPlain(_Pop):
    """POP that begins in clear."""

    def __init__(self, line: Line) -> None:
        """Connect by `line`, and read the greeting."""
        self._line = line
        with _closing_on_error(self):
            super().__init__(line.server.host, line.server.port)


class SmtpTLS(_Dials, smtplib.SMTP_SSL):
    """SMTP with TLS from the first byte."""

    def __init__(self, line: Line) -> None:
        """Connect by `line`, and read the greeting."""
        self._line = line
        host, port = line.server.host, line.server.port
        super().__init__(host, port, local_hostname=DNS_NAME.get_fqdn(), context=line.context)


class SmtpPlain(_Dials, smtplib.SMTP):
    """SMTP that begins in clear."""

    def __init__(self, line: Line) -> None:
        """Connect by `line`, and read the greeting."""
        self._line = line
        super().__init__(line.server.host, line.server.port, local_hostname=DNS_NAME.get_fqdn())


@contextlib.contextmanager
def _closing_on_error(client: poplib.POP3) -> Iterator[None]:
    """Do what imaplib and smtplib do by themselves when the greeting is not as it should be."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            client.close()
        raise
