"""Signing in by hand, with the standard library's clients and frames made here: what servers say, word for word."""

from __future__ import annotations

import base64
import imaplib
import poplib
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.services.dovecot import Dovecot

SECONDS = 20


def frame_of(mechanism: str, address: str, token: str) -> bytes:
    """What RFC 7628, and Google's description of XOAUTH2, have a client send."""
    if mechanism == "XOAUTH2":
        return f"user={address}\1auth=Bearer {token}\1\1".encode()
    escaped = address.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={escaped},\1host=localhost\1port=993\1auth=Bearer {token}\1\1".encode()


@dataclass
class Answers:
    """The client's part of the exchange: the frame, then a mechanism's answer to an error's challenge."""

    mechanism: str
    frame: bytes
    challenges: list[bytes] = field(default_factory=list)

    def __call__(self, challenge: bytes) -> bytes:
        if not challenge:
            return self.frame
        self.challenges.append(challenge)
        return b"" if self.mechanism == "XOAUTH2" else b"\1"


@dataclass(frozen=True)
class Outcome:
    """The last line, without what differs each time, and the challenges before it."""

    line: str
    challenges: list[bytes]


def trusting(server: Dovecot) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca_file))


@contextmanager
def imap(server: Dovecot, *, host: str = "", clear: bool = False) -> Iterator[imaplib.IMAP4]:
    host = host or server.host
    client: imaplib.IMAP4
    if clear:
        client = imaplib.IMAP4(host, server.imap_port, timeout=SECONDS)
    else:
        client = imaplib.IMAP4_SSL(host, server.imaps_port, ssl_context=trusting(server), timeout=SECONDS)
    try:
        yield client
    finally:
        client.shutdown()


@contextmanager
def pop3(server: Dovecot, *, host: str = "", clear: bool = False) -> Iterator[poplib.POP3]:
    host = host or server.host
    client: poplib.POP3
    if clear:
        client = poplib.POP3(host, server.pop3_port, timeout=SECONDS)
    else:
        client = poplib.POP3_SSL(host, server.pop3s_port, context=trusting(server), timeout=SECONDS)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def submission(server: Dovecot, *, host: str = "", clear: bool = False) -> Iterator[smtplib.SMTP]:
    host = host or server.host
    client: smtplib.SMTP
    if clear:
        client = smtplib.SMTP(host, server.submission_port, timeout=SECONDS)
    else:
        client = smtplib.SMTP_SSL(host, server.submissions_port, context=trusting(server), timeout=SECONDS)
    try:
        client.ehlo()
        yield client
    finally:
        client.close()


CONNECT = {"imap": imap, "pop3": pop3, "submission": submission}


def imap_line(client: imaplib.IMAP4, answers: Answers) -> str:
    try:
        return str(client.authenticate(answers.mechanism, answers)[1][-1].decode())
    except imaplib.IMAP4.error as refused:
        return str(refused)


def pop3_line(client: poplib.POP3, answers: Answers) -> str:
    try:
        line = client._shortcmd(f"AUTH {answers.mechanism}")
        while line.startswith(b"+ "):
            answer = answers(base64.b64decode(line[2:]))
            line = client._shortcmd(base64.b64encode(answer).decode())
    except poplib.error_proto as refused:
        line = refused.args[0]
    return line.decode()


def submission_line(client: smtplib.SMTP, answers: Answers) -> str:
    def answer(challenge: bytes | None = None) -> str:
        return answers(challenge or b"").decode()

    try:
        code, text = client.auth(answers.mechanism, answer, initial_response_ok=False)
    except smtplib.SMTPAuthenticationError as refused:
        code, text = refused.smtp_code, refused.smtp_error
    return f"{code} {text.decode()}"


LINE = {"imap": imap_line, "pop3": pop3_line, "submission": submission_line}


def sign_in(protocol: str, client: Any, mechanism: str, address: str, token: str) -> Outcome:
    answers = Answers(mechanism, frame_of(mechanism, address, token))
    line = LINE[protocol](client, answers)
    return Outcome(re.sub(r" \[[\w.-]+:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]$", "", line), answers.challenges)
