"""IMAPClient over a connection that is signed in already; needs the extra `imapclient`."""

from __future__ import annotations

import imaplib
from typing import Any

from imapclient import IMAPClient


class SignedInClient(IMAPClient):  # type: ignore[misc]
    """An `IMAPClient` as it is after its login; as there, leaving its `with` block logs out."""

    def __init__(self, client: imaplib.IMAP4, timeout: float) -> None:
        """Take over a signed-in client of imaplib."""
        self._signed_in = client
        super().__init__(client.host, client.port, timeout=timeout)

    def _create_IMAP4(self) -> Any:  # noqa: N802  # IMAPClient's name for it
        return self._signed_in
