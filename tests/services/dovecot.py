"""Dovecot: IMAP, POP3 and submission, for whoever brings an access token of the fake provider.

At each sign-in it asks the provider by RFC 7662 whose the token is, and what it opens. Every address is a mailbox.
What is submitted goes on to a sink. What Dovecot 2.3.19 says (Debian 12; C is the client):

Signed in, by either mechanism
    IMAP  `a OK [CAPABILITY ...] Logged in`    POP3  `+OK Logged in.`    SMTP  `235 2.7.0 Logged in.`
    With the relay down, SMTP goes on with `421 4.4.0 localhost Failed to connect to relay server (connect)`.
Refused, in the same words for a token that is expired, revoked, unknown, of another mailbox, or without the scope:
    a challenge first, which waits for an answer (one empty line, or the `AQ==` of RFC 7628; both do, and `*` too):
        XOAUTH2      {"status":"401","schemes":"bearer","scope":"mail"}     (always this scope)
        OAUTHBEARER  {"status":"invalid_token"}
    as `+ <base64>`, in SMTP as `334 <base64>`; after the answer, up to half a second later
        IMAP  `a NO [AUTHENTICATIONFAILED] Authentication failed.`
        POP3  `-ERR [AUTH] Authentication failed.`
        SMTP  `535 5.7.8 Authentication failed.`
    or, where the answer was `*`
        IMAP  `a BAD Authentication aborted by client.`
        POP3  `-ERR Authentication aborted by client.`
        SMTP  `501 5.5.2 Authentication aborted by client.`
Malformed frame, or a character in the address that `auth_username_chars` lacks: those refusals without a challenge.
The provider is down, slow, unintelligible, or refuses the mail server itself (429, 401, 5xx): no challenge, but
    IMAP  `a NO [UNAVAILABLE] Temporary authentication failure. [HOSTNAME:2030-01-02 03:04:05]`
    POP3  `-ERR [SYS/TEMP] Temporary authentication failure. [HOSTNAME:2030-01-02 03:04:05]`
    SMTP  `454 4.7.0 Temporary authentication failure. [HOSTNAME:2030-01-02 03:04:05]`
Mechanism not offered
    IMAP  `a NO [ALERT] Unsupported authentication mechanism.`
    POP3  `-ERR [AUTH] Unsupported authentication mechanism.`
    SMTP  `504 5.5.4 Unsupported authentication mechanism.`
Before STARTTLS, at `far_host` only: no mechanism is offered (POP3 has a bare `SASL` in CAPA), and AUTH is answered
    IMAP  `a NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.`
    POP3  `-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.`
    SMTP  `530 5.7.0 TLS required.`
    At `host`, which Dovecot takes for its own machine, it offers them in clear, though `ssl = required`.
Long lines: an SMTP initial response of more than about 1,000 characters, so any token of Microsoft's size, is answered
    `500 5.5.2 Line too long`: it must follow the `334` (RFC 4954 section 4). A line of 8,192 characters or more ends an
    IMAP or POP3 connection without a word, and is `500 5.5.2 Line too long` in SMTP.
A session that is kicked, or ended with the server, hears one of these, or just the end of the connection
    IMAP  `* BYE Server shutting down.`                  before it signed in `* BYE Shutting down`
    POP3  `-ERR [SYS/TEMP] Server shutting down.`        before it signed in `-ERR Shutting down`
    SMTP  `421 4.3.2 localhost Shutting down`
"""

import grp
import os
import pwd
import shutil
import signal
import socket
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from mail_oauth.testing.provider import FakeProvider
from tests.services.dovecot_files import (
    APP_ROLES,
    CERTIFICATE,
    CHROOTED,
    LISTENERS,
    MAIN,
    OAUTH2,
    PROTOCOLS,
    SCOPES,
)
from tests.services.programs import MissingProgram, find_program
from tests.services.server import Server
from tests.services.sink import Sink
from tests.transport.certificates import Authority

LIBRARY = Path("/usr/lib/dovecot")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now, all different: they are held until each is found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Dovecot(Server):
    """Takes the access tokens that the fake provider gives out as one of its personalities."""

    accounts = ("dovecot", "nobody")
    driver = "aiosmtpd"

    host = "localhost"
    """Where it listens, and what its certificate names."""

    wrong_host = "127.0.0.2"
    """The same ports, with a certificate for another name."""

    far_host = "127.0.0.3"
    """The same ports, with a certificate for this address, which Dovecot does not take for its own machine."""

    def __init__(self, provider: FakeProvider, personality: str = "microsoft") -> None:
        super().__init__()
        self.provider, self.personality, self.app = provider, personality, False
        ports = free_ports(7)
        self.imap_port, self.pop3_port, self.submission_port = ports[:3]
        self.imaps_port, self.pop3s_port, self.submissions_port = ports[3:6]
        self.port = self.imap_port
        self.sink = Sink(ports[6])
        self.ca_file = self.directory / "certificates" / "authority.pem"

    # --- life ---

    def find_programs(self) -> None:
        self.dovecot = find_program("dovecot")
        self.doveadm = find_program("doveadm")
        self.setsid = find_program("setsid")
        for protocol, package in zip(PROTOCOLS, ("imapd", "pop3d", "submissiond"), strict=True):
            if not (LIBRARY / f"{protocol}-login").exists():
                raise MissingProgram(f"dovecot-{package} is not installed")

    def prepare(self) -> None:
        self.data.mkdir()
        if account := self.account:
            shutil.chown(self.data, account.pw_uid, account.pw_gid)
        self.ca_file.parent.mkdir()
        blocks = [self._certificates(Authority(self.ca_file.parent)), *map(self._listeners, PROTOCOLS)]
        blocks += [f"service {name} {{\n  chroot =\n}}\n" for name in CHROOTED]
        self.configuration.write_text(self._main() + "".join(blocks))
        self._write_oauth2()

    def start(self) -> Self:
        self.sink.start()
        return super().start()

    def stop(self) -> None:
        """End Dovecot, its sessions, and the sink; mail stays."""
        super().stop()
        self.sink.stop()

    def restart(self) -> None:
        """End every session; the ports and the mail stay."""
        self._end(self.stop_signal)
        self.start()

    def trust(self, personality: str, *, app: bool = False) -> None:
        """Take the tokens of this personality from now on, and of no other; sessions end if that is a change.

        With `app`, those that an app has for all mailboxes: whoever has one opens any.
        """
        if (personality, app) != (self.personality, self.app):
            self.personality, self.app = personality, app
            self._write_oauth2()
            self.restart()

    def _end(self, how: signal.Signals) -> None:
        """End the whole group: Dovecot's master leaves sessions, and who serves them, to themselves."""
        if self.process is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
        super()._end(how)

    # --- mail and sessions ---

    def deliver(self, address: str, content: bytes) -> None:
        """Put a message into the INBOX of an address."""
        with tempfile.NamedTemporaryFile(dir=self.directory) as file:
            file.write(content)
            file.flush()
            Path(file.name).chmod(0o644)
            self.run(self.doveadm, "-c", str(self.configuration), "save", "-u", address, file.name)

    def kick(self, address: str) -> None:
        """Close the connections of whoever is signed in as `address`; raises RuntimeError if nobody is."""
        self.run(self.doveadm, "-c", str(self.configuration), "kick", address)

    def clear(self) -> None:
        """Forget every mailbox, and what the sink took."""
        self.sink.messages.clear()
        for home in self.data.iterdir():
            shutil.rmtree(home, ignore_errors=True)

    # --- what the parent asks ---

    def command(self) -> list[str]:
        return [self.setsid, self.dovecot, "-F", "-c", str(self.configuration)]

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.imap_port), timeout=1) as connection:
                return connection.recv(16).startswith(b"* OK")
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"imaps://{self.host}:{self.imaps_port}"

    # --- configuration ---

    @property
    def configuration(self) -> Path:
        return self.directory / "dovecot.conf"

    def _main(self) -> str:
        account = self.account or pwd.getpwuid(os.geteuid())
        return MAIN.format(
            directory=self.directory,
            homes=self.data,
            user=account.pw_name,
            group=grp.getgrgid(account.pw_gid).gr_name,
            relay=self.sink.port,
        )

    def _certificates(self, authority: Authority) -> str:
        names = {"127.0.0.1": self.host, self.wrong_host: "wrong.example", self.far_host: self.far_host}
        return "".join(CERTIFICATE.format(host=host, file=authority.pem(name)) for host, name in names.items())

    def _listeners(self, protocol: str) -> str:
        ports = {"clear": getattr(self, f"{protocol}_port"), "tls": getattr(self, f"{protocol}s_port")}
        return LISTENERS.format(protocol=protocol, directory=self.directory, **ports)

    def _write_oauth2(self) -> None:
        url = urlsplit(self.provider.urls(self.personality)["introspect"])
        credentials = f"{self.provider.client_id}:{self.provider.client_secret}"
        signed_in = url._replace(netloc=f"{credentials}@{url.netloc}").geturl()
        # Both sides of the comparison are made by this format: with nothing of the user in it they are always the same.
        user = "app" if self.app else "%u"
        for protocol, scope in (APP_ROLES if self.app else SCOPES[self.personality]).items():
            text = OAUTH2.format(url=signed_in, scope=scope, user=user)
            (self.directory / f"{protocol}.oauth2").write_text(text)
