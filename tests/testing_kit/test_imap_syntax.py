"""The fake IMAP server's grammar, on made-up input: what is sent back is an answer, and no error of ours escapes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail_oauth.testing.mailservers.imap.envelope import envelope, fields, split, string
from mail_oauth.testing.mailservers.imap.session import Session
from mail_oauth.testing.mailservers.imap.syntax import BadCommand, Command, chosen, literal_at_end, parse
from mail_oauth.testing.mailservers.postoffice import PostOffice
from mail_oauth.testing.mailservers.seeds import letters

pytestmark = pytest.mark.fuzz

ATOMS = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:*%\\+<>-", min_size=1, max_size=12
)
STRINGS = st.binary(max_size=20)
ARGUMENTS = st.recursive(ATOMS | STRINGS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=8)

PLAIN = "SELECT EXAMINE STATUS LIST SEARCH FETCH UID NOOP CLOSE CAPABILITY LOGIN CHECK INBOX ALL UNSEEN SEEN FLAGS"
MORE = "1 1:* *:2 9 ENVELOPE RFC822 BODY[] BODY.PEEK[HEADER] BODY[TEXT]<0.9> MESSAGES UIDNEXT CHARSET UTF-8 FAST"
ODD = ('""', '"*"', "(FLAGS UID)", "BODY[HEADER.FIELDS (FROM)]", "(MESSAGES UNSEEN)", "(", ")", "{3}\r\nabc")
WORDS = st.sampled_from([*PLAIN.split(), *MORE.split(), *ODD])
HEADERS = st.binary(max_size=200) | st.builds(
    b"%b: %b\r\n".__mod__,
    st.tuples(st.sampled_from([b"From", b"To", b"Subject", b"Date", b"Cc"]), st.binary(max_size=80)),
)


def written(argument: object) -> bytes:
    if isinstance(argument, str):
        return argument.encode()
    if isinstance(argument, bytes):
        return b"{%d}\r\n%b" % (len(argument), argument)
    return b"(%b)" % b" ".join(map(written, argument))


def session() -> Session:
    made = Session(PostOffice(letters))
    made.user = "ada@example.com"
    return made


@given(st.lists(ARGUMENTS, max_size=5))
def test_what_is_written_is_read(arguments):
    text = b" ".join((b"a1", b"fetch", *map(written, arguments))) + b"\r\n"
    assert parse(text) == Command("a1", "FETCH", tuple(arguments))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(b"a FETCH ".__add__))
@example(b'a LIST "\\')
@example(b"a LIST {999999999}\r\n")
@example(b"a " + b"[" * 1000)
def test_anything_else_is_a_command_or_a_bad_one(text):
    with contextlib.suppress(BadCommand):
        assert isinstance(parse(text), Command)


@given(st.binary(max_size=40))
def test_a_quoted_string_means_what_it_says(text):
    assert parse(b"a LIST " + string(text) + b"\r\n").arguments == (text,)


@given(st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), max_size=8))
def test_every_command_has_one_answer_with_its_tag(lines):
    talk = session()
    for line in ("SELECT INBOX", *lines):
        try:
            command = parse(f"t {line}\r\n".encode())
        except BadCommand:
            continue
        *untagged, last = talk.answer(command)
        assert all(each.startswith(b"* ") for each in untagged)
        assert last.split(b" ", 2)[:2] in ([b"t", b"OK"], [b"t", b"NO"], [b"t", b"BAD"])


@given(st.text("0123456789:*,", max_size=12), st.lists(st.integers(1, 30), unique=True).map(sorted))
def test_a_set_names_some_of_what_there_is(text, existing):
    try:
        found = chosen(text, existing)
    except BadCommand:
        return
    assert found == sorted(set(found) & set(existing))


@given(st.binary(max_size=30), st.integers(0, 999_999_999), st.sampled_from([b"", b"+"]))
def test_a_literal_is_announced_at_the_end_of_a_line(before, size, plus):
    line = before + b"{%d%b}\r\n" % (size, plus)
    assert literal_at_end(line) == (size, not plus)
    assert literal_at_end(line + b"x\r\n") is None


@given(st.lists(HEADERS, max_size=5).map(b"".join))
@example(b"From: " + b"(" * 5000 + b"\r\n")
@example(b"From: " + b"[" * 5000 + b"\r\n")
@example(b'From: "' + b"\\" * 5000 + b"\r\n")
def test_any_message_has_an_envelope_that_is_a_list(content):
    """Of ten parts: it is read back by the same grammar."""
    [[*parts]] = parse(b"a X " + envelope(content)).arguments
    assert len(parts) == 10
    header, body = split(content)
    assert header + body == content
    assert all(raw in header and raw.lower().startswith(name) for name, raw in fields(header))
