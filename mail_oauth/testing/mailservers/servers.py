"""The mail servers as one: started and stopped together, on one thread with one event loop."""

import asyncio
import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from mail_oauth.testing import silence
from mail_oauth.testing.mailservers import seeds
from mail_oauth.testing.mailservers.access import Tokens, refusal
from mail_oauth.testing.mailservers.certificates import HOST, loopback_context
from mail_oauth.testing.mailservers.imap.connection import Connection
from mail_oauth.testing.mailservers.imap.syntax import LONGEST_LINE
from mail_oauth.testing.mailservers.postoffice import PostOffice, Taken
from mail_oauth.tokens import MailServer

Protocols = Callable[[set[asyncio.BaseTransport]], asyncio.BaseProtocol]

_STOP_SECONDS: Final = 10
_BACKLOG: Final = 128
_HANDSHAKE_SECONDS: Final = 20


class MailServers:
    """IMAP and SMTP on 127.0.0.1, with TLS from the first byte, for the accounts of one provider.

    A port of 0 picks a free one. ``ca_file`` is where the certificate of the authority is written at each start, a
    temporary file unless told. With ``seeded`` there is some mail in each mailbox that is looked into. Mail lives in
    memory as long as this object; what SMTP takes for an address of the provider is delivered.
    """

    host = HOST

    def __init__(
        self,
        provider: Tokens,
        *,
        imap_port: int = 0,
        smtp_port: int = 0,
        ca_file: str | Path | None = None,
        seeded: bool = False,
    ) -> None:
        self._provider = provider
        self._asked_ports = {"IMAP": imap_port, "SMTP": smtp_port}
        self._ports: dict[str, int] = {}
        self._ca_file = Path(ca_file) if ca_file else None
        self._post = PostOffice(seeds.letters if seeded else seeds.nothing)
        self._life: contextlib.ExitStack | None = None

    def __repr__(self) -> str:
        return f"<MailServers {self._ports or 'stopped'}>"

    # --- life ---

    def start(self) -> Self:
        """Serve. Raises `OSError` where a port is taken, and `ModuleNotFoundError` where aiosmtpd is not installed."""
        if self._life is not None:
            raise RuntimeError("The fake mail servers are running already.")
        submission = self._submission()
        silence.install()
        with contextlib.ExitStack() as begun:
            if self._ca_file is None:
                directory = begun.enter_context(tempfile.TemporaryDirectory(prefix="mail_oauth-"))
                self._ca_file = Path(directory) / "authority.pem"
                begun.callback(setattr, self, "_ca_file", None)
            context = loopback_context(self._ca_file)
            begun.callback(self._ports.clear)
            listening = {}
            for name, port in self._asked_ports.items():
                listening[name] = begun.enter_context(socket.create_server((HOST, port), backlog=_BACKLOG))
                self._ports[name] = listening[name].getsockname()[1]
            begun.callback(self._begin(listening, submission, context))
            self._life = begun.pop_all()
        return self

    def stop(self) -> None:
        """End every connection and stop; mail stays, so that `start` goes on with it."""
        life, self._life = self._life, None
        if life is not None:
            life.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- where they are ---

    @property
    def imap_port(self) -> int:
        """The port of IMAP, while the servers run."""
        return self._running("IMAP")

    @property
    def smtp_port(self) -> int:
        """The port of SMTP, while the servers run."""
        return self._running("SMTP")

    @property
    def ca_file(self) -> Path:
        """The certificate to trust, while the servers run."""
        self._running("IMAP")
        return self._ca_file or Path()

    def settings(self, mail_oauth: Mapping[str, Any], *aliases: str) -> dict[str, Any]:
        """`MAIL_OAUTH` with the mail of these providers here, of all of them unless told."""
        servers = {name: MailServer(host=HOST, port=self._running(name)) for name in self._asked_ports}
        providers = mail_oauth.get("PROVIDERS", {})
        here = aliases or tuple(providers)
        return {
            **mail_oauth,
            "CA_BUNDLE": str(self.ca_file),
            "PRIVATE_HOSTS": [*dict.fromkeys((*mail_oauth.get("PRIVATE_HOSTS", ()), HOST))],
            "PROVIDERS": {
                alias: {**options, **(servers if alias in here else {})} for alias, options in providers.items()
            },
        }

    # --- mail ---

    def deliver(self, address: str, content: bytes) -> None:
        """Put a message into the INBOX of an address."""
        self._post.deliver(address, content)

    @property
    def taken(self) -> list[Taken]:
        """What SMTP took so far, oldest first, whoever it was for; a copy of the last thousand."""
        return self._post.taken()

    # --- the loop ---

    def _submission(self) -> Protocols:
        """What serves a connection of SMTP."""
        try:
            from mail_oauth.testing.mailservers.submission import Handler, Submission  # noqa: PLC0415  # an extra
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.partition(".")[0] != "aiosmtpd":
                raise
            raise ModuleNotFoundError(
                "The fake mail servers need aiosmtpd: pip install 'mail-oauth[testing]'.", name="aiosmtpd"
            ) from None
        return partial(Submission, Handler(self._provider, self._post))

    def _running(self, name: str) -> int:
        if name not in self._ports:
            raise RuntimeError(
                "The fake mail servers are not running: call start(), or use them in a with statement."
            )
        return self._ports[name]

    def _begin(
        self, listening: Mapping[str, socket.socket], submission: Protocols, context: ssl.SSLContext
    ) -> Callable[[], None]:
        """Serve on a thread; return what ends that."""
        started: Future[Callable[[], object]] = Future()
        talk = self._serve(listening, submission, context, started)
        thread = threading.Thread(target=_run, args=(talk, started), name="fake-mail-servers", daemon=True)
        thread.start()
        end = started.result()

        def stop() -> None:
            end()
            thread.join(_STOP_SECONDS)

        return stop

    async def _serve(
        self,
        listening: Mapping[str, socket.socket],
        submission: Protocols,
        context: ssl.SSLContext,
        started: "Future[Callable[[], object]]",
    ) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        transports: set[asyncio.BaseTransport] = set()
        how: dict[str, Any] = {"ssl": context, "ssl_handshake_timeout": _HANDSHAKE_SECONDS}

        async def imap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            transports.add(writer.transport)
            try:
                await Connection(reader, writer, self._post, partial(refusal, self._provider, "IMAP")).serve()
            finally:
                transports.discard(writer.transport)

        servers = (
            await asyncio.start_server(imap, sock=listening["IMAP"], limit=LONGEST_LINE, **how),
            await loop.create_server(partial(submission, transports), sock=listening["SMTP"], **how),
        )
        started.set_result(partial(loop.call_soon_threadsafe, over.set))
        await over.wait()
        for server in servers:
            server.close()
        await _end_all(transports)


async def _end_all(transports: set[asyncio.BaseTransport]) -> None:
    """End every connection, and whoever serves it."""
    for transport in tuple(transports):
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _run(talk: Coroutine[Any, Any, None], started: "Future[Callable[[], object]]") -> None:
    try:
        with silence.serving():
            asyncio.run(talk)
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)  # whoever starts is told
