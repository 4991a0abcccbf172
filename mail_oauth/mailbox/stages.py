"""The stages of a way to a mailbox, and who is told when each begins."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from django.utils.translation import pgettext


class Stage(StrEnum):
    """What is done one after the other; where a token is refused, it begins again at `CONNECT`."""

    TOKEN = "token"  # noqa: S105  # a word
    """A valid access token is had."""
    CONNECT = "connect"
    """The host is looked up, and a TCP connection made."""
    TLS = "tls"
    """TLS, from the first byte or by STARTTLS, and the server's greeting."""
    SIGN_IN = "sign_in"
    """The token is shown."""
    LIST = "list"
    """What only whoever may open the mailbox can see."""
    SEND = "send"
    """A message goes from the mailbox to itself."""

    @property
    def words(self) -> str:
        """What people call it, in their language."""
        return {
            Stage.TOKEN: pgettext("stage of a sign-in", "token"),
            Stage.CONNECT: pgettext("stage of a sign-in", "connect"),
            Stage.TLS: "TLS",
            Stage.SIGN_IN: pgettext("stage of a sign-in", "sign in"),
            Stage.LIST: pgettext("stage of a sign-in", "list"),
            Stage.SEND: pgettext("stage of a sign-in", "send"),
        }[self]


Watch = Callable[[Stage], None]
"""Is told of each stage that begins."""


def unwatched(_stage: Stage) -> None:
    """Watch nothing."""
