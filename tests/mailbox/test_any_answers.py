"""Mail servers that answer whatever bytes they like: a session is signed in, or raises what it promises."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.exceptions import MailboxError
from tests.mailbox.scripted import answering

pytestmark = pytest.mark.django_db

GOOD = {
    "imap": [
        b"* OK ready\r\n",
        b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n{tag} OK done\r\n",
        b"+ \r\n",
        b"+ e30=\r\n",
    ],
    "pop": [b"+OK ready\r\n", b"+OK\r\nSASL XOAUTH2\r\n.\r\n", b"+ \r\n", b"+ e30=\r\n"],
    "smtp": [b"220 ready\r\n", b"250-scripted\r\n250 AUTH XOAUTH2\r\n", b"334 \r\n", b"334 e30=\r\n"],
}
"""A greeting, and answers as far as an error's challenge."""

WORDS = {
    "imap": [
        b"* ",
        b"+ ",
        b"{tag} ",
        b"OK ",
        b"NO ",
        b"BYE ",
        b"PREAUTH ",
        b"CAPABILITY ",
        b"AUTH=",
        b"{70000}\r\n",
        b"[X] ",
    ],
    "pop": [b"+ ", b"+OK ", b"-ERR ", b"SASL ", b"XOAUTH2 ", b".\r\n", b"..", b"[AUTH] "],
    "smtp": [b"220 ", b"250-", b"250 ", b"334 ", b"235 ", b"421 ", b"535 ", b"AUTH ", b"AUTH="],
}


FRAMES = {
    "imap": (b"* CAPABILITY IMAP4 ", b"{tag} OK done\r\n"),
    "pop": (b"+OK\r\n", b".\r\n"),
    "smtp": (b"250-", b"250 AUTH XOAUTH2\r\n"),
}
"""What makes lines an answer that is read on its own, as that of what is offered."""


def wild(protocol: str) -> st.SearchStrategy[bytes]:
    """Lines of any bytes, among words of the protocol."""
    parts = st.binary(max_size=40) | st.sampled_from([*WORDS[protocol], b"\r\n"])
    lines = st.lists(parts, max_size=8).map(lambda each: b"".join(each) + b"\r\n")
    begin, end = FRAMES[protocol]
    return lines | lines.map(lambda each: begin + each + end)


class Over(Exception):
    """Somebody was signed in, which is enough."""


@pytest.mark.parametrize("protocol", GOOD)
def test_whatever_is_answered_nothing_is_raised_but_a_mailbox_error(serve, connect, protocol):
    mailbox, answers = connect(), []
    serve(protocol, answering(answers), seconds=1)

    @given(st.integers(0, len(GOOD[protocol])), st.lists(wild(protocol), max_size=4))
    def signs_in_or_not(good, others):
        answers[:] = [*GOOD[protocol][:good], *others]
        with suppress(MailboxError, Over), getattr(mailbox, protocol)():
            raise Over

    signs_in_or_not()
