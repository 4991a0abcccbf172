"""Where mail ends: an SMTP server in this process that takes every message and keeps it."""

from dataclasses import dataclass
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message as it arrived: its envelope and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Sink:
    """Listens on a loopback port between `start` and `stop`; `messages` stay until they are cleared."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[Taken] = []
        self._controller: Controller | None = None

    def start(self) -> Self:
        if self._controller is None:
            self._controller = Controller(self, hostname="127.0.0.1", port=self.port, enable_SMTPUTF8=True)
            self._controller.start()
        return self

    def stop(self) -> None:
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        content = envelope.original_content or b""
        recipients = tuple(envelope.rcpt_tos)
        self.messages.append(Taken(sender=envelope.mail_from or "", recipients=recipients, content=content))
        return "250 2.0.0 taken"
