"""Frames of SASL: what a server reads out of one is who signs in, and with which token, whatever they are made of."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.mailbox.sasl import (
    MECHANISMS,
    OAUTHBEARER,
    XOAUTH2,
    answer_to_error,
    chosen_mechanism,
    error_status,
    initial_response,
)
from mail_oauth.tokens import Secret

TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=254)
CONTROL = st.characters(max_codepoint=31) | st.just("\x7f")

ODD_NAMES = [
    "ada@example.com",
    "ada+lists@example.com",
    "a=b,c@example.com",
    '"ada lovelace"@example.com',
    "üñí@exämple.com",
    "o'hara@example.com",
    "a" * 242 + "@example.com",
]


def read_xoauth2(frame: bytes) -> tuple[str, str]:
    """The user and the token, as a server that splits at control-A reads them."""
    user, bearer, *rest = frame.decode().split("\x01")
    assert rest == ["", ""]
    return user.removeprefix("user="), bearer.removeprefix("auth=Bearer ")


def read_oauthbearer(frame: bytes) -> tuple[str, dict[str, str]]:
    """The user and the fields (RFC 7628 §3.1): after a GS2 header that commas part (RFC 5801 §4)."""
    header, *fields, empty, end = frame.decode().split("\x01")
    assert (empty, end) == ("", "")
    binding, name, nothing = header.split(",")
    assert (binding, nothing) == ("n", "")
    assert name.startswith("a=")
    escaped = name.removeprefix("a=")
    return escaped.replace("=2C", ",").replace("=3D", "="), dict(field.split("=", 1) for field in fields)


def chain_of(error: BaseException | None) -> list[BaseException]:
    """An error, what caused it, and what it was raised in."""
    return [error, *chain_of(error.__cause__), *chain_of(error.__context__)] if error else []


def frame(
    mechanism: str, user: str = "ada@example.com", token: str = "t0ken", host: str = "mail.example"
) -> bytes:
    return initial_response(mechanism, user, Secret(token), host=host, port=993)


def test_xoauth2_is_what_google_and_microsoft_document():
    assert frame(XOAUTH2) == b"user=ada@example.com\x01auth=Bearer t0ken\x01\x01"


def test_oauthbearer_is_the_example_of_its_rfc():
    """RFC 7628 §4.1."""
    made = initial_response(
        OAUTHBEARER,
        "user@example.com",
        Secret("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
        host="server.example.com",
        port=143,
    )
    assert made == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )


@given(user=TEXT, token=TEXT)
def test_a_server_reads_the_same_user_and_token(user, token):
    assert read_xoauth2(frame(XOAUTH2, user, token)) == (user, token)
    read, fields = read_oauthbearer(frame(OAUTHBEARER, user, token))
    assert read == user
    assert fields == {"host": "mail.example", "port": "993", "auth": f"Bearer {token}"}


@pytest.mark.parametrize("user", ODD_NAMES)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_66_odd_names_come_through(mechanism, user):
    made = frame(mechanism, user)
    assert (read_xoauth2(made)[0] if mechanism == XOAUTH2 else read_oauthbearer(made)[0]) == user


@given(
    before=st.text(max_size=20), control=CONTROL, after=st.text(max_size=20), mechanism=st.sampled_from(MECHANISMS)
)
def test_nothing_that_ends_a_field_comes_into_one(before, control, after, mechanism):
    broken = before + control + after
    for parts in ({"user": broken}, {"token": broken}, {"host": broken}):
        with pytest.raises(ValueError, match="control character") as refused:
            frame(mechanism, **parts)
        assert broken not in str(refused.value)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("what", ["user", "host", "token"])
def test_what_is_no_unicode_is_refused_and_no_error_tells_the_token(what, mechanism):
    parts = {"token": "t0ken-of-ada", "user": "ada@example.com", "host": "mail.example"}
    parts[what] += "\udcff"
    with pytest.raises(ValueError, match="cannot be written in UTF-8") as refused:
        frame(mechanism, **parts)
    for error in chain_of(refused.value):
        assert "t0ken" not in f"{error!r} {error.args} {vars(error)} {getattr(error, 'object', '')}"


@pytest.mark.parametrize("parts", [{"user": ""}, {"token": ""}, {"host": ""}])
def test_nothing_is_left_empty(parts):
    with pytest.raises(ValueError, match="is empty"):
        frame(XOAUTH2, **parts)


def test_another_mechanism_is_refused():
    with pytest.raises(ValueError, match="XOAUTH2, OAUTHBEARER"):
        frame("PLAIN")


@pytest.mark.parametrize(
    ("preferred", "offered", "chosen"),
    [
        (("XOAUTH2", "OAUTHBEARER"), {"PLAIN", "XOAUTH2"}, "XOAUTH2"),
        (("OAUTHBEARER", "XOAUTH2"), {"XOAUTH2", "OAUTHBEARER"}, "OAUTHBEARER"),
        (("XOAUTH2",), {"xoauth2"}, "XOAUTH2"),
        (("XOAUTH2",), {"PLAIN", "LOGIN"}, ""),
        (("XOAUTH2",), {"OAUTHBEARER"}, ""),
        (("SCRAM-SHA-256",), {"SCRAM-SHA-256"}, ""),
        ((), {"XOAUTH2"}, ""),
    ],
)
def test_69_the_mechanism_is_one_that_is_offered(preferred, offered, chosen):
    assert chosen_mechanism(preferred, offered) == chosen


class TestErrorChallenges:
    def test_are_answered_so_that_the_server_goes_on(self):
        """RFC 7628 §3.2.3, and Google's page on XOAUTH2."""
        assert answer_to_error(XOAUTH2) == b""
        assert answer_to_error(OAUTHBEARER) == b"\x01"

    @pytest.mark.parametrize(
        ("challenge", "status"),
        [
            (b'{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}', "401"),
            (b'{"status":"invalid_token","scope":"example_scope"}', "invalid_token"),
            (b'{"status":401}', ""),
            (b'{"status":null}', ""),
            (b'{"status":"two\\nlines"}', ""),
            (b'["status"]', ""),
            (b"", ""),
            (b"\xff\xfe", ""),
            (b"[" * 4000, ""),
            (b'{"status":"' + b"9" * 5000 + b'"}', ""),
        ],
    )
    def test_68_tell_a_status_where_they_hold_one(self, challenge, status):
        assert error_status(challenge) == status

    @given(st.binary(max_size=300) | st.builds(lambda word: json.dumps({"status": word}).encode(), st.text()))
    def test_68_are_read_whatever_they_are(self, challenge):
        status = error_status(challenge)
        assert status == "" or (status.isprintable() and len(status) <= 64)
