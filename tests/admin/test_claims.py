"""An access token that is a JWT says what it is for, by the claims that may be shown and no others."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.admin.claims import claims_of
from mail_oauth.models import MailCredentials
from mail_oauth.tokens import Secret
from tests.admin.conftest import page_of

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def token(claims: Any) -> Secret:
    header = encoded({"typ": "JWT", "alg": "RS256", "kid": "the-key"})
    return Secret(f"{header}.{encoded(claims)}.{encoded(b'the-signature-of-it')}")


MICROSOFT = {
    "aud": "https://outlook.office.com",
    "iss": "https://sts.windows.net/tenant-id/",
    "scp": "IMAP.AccessAsUser.All SMTP.Send",
    "tid": "tenant-id",
    "appid": "client-id",
    "exp": int((NOW + timedelta(minutes=42)).timestamp()),
    "name": "Ada Lovelace",
    "unique_name": "ada@example.com",
    "rh": "an-internal-handle",
    "puid": "10032001",
}


def test_what_a_token_is_for_is_shown():
    found = {claim.name: claim for claim in claims_of(token(MICROSOFT), NOW).shown}
    assert set(found) == {"aud", "iss", "scp", "tid", "appid", "exp"}
    assert found["scp"].text == "IMAP.AccessAsUser.All SMTP.Send"
    assert found["exp"].moment.words == "in 42 min"


def test_lists_are_shown_as_words():
    found = {claim.name: claim.text for claim in claims_of(token({"aud": ["a", "b"], "roles": ["x"]}), NOW).shown}
    assert found == {"aud": "a b", "roles": "x"}


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (None, "no readable token"),
        (Secret("ya29.a0AfH6SMB"), "opaque"),
        (Secret("opaque"), "opaque"),
        (Secret("a.b.c.d.e"), "encrypted"),
        (Secret("a.%%%.c"), "opaque"),
        (token([1, 2]), "opaque"),
        (token({"rh": "x"}), "None of its claims"),
        (token({"aud": "x" * 100_000}), "opaque"),
        (Secret(f"a.{encoded(b'[' * 40_000)}.c"), "opaque"),
    ],
)
def test_a_token_that_says_nothing_is_said_to(value, note):
    found = claims_of(value, NOW)
    assert found.shown == ()
    assert note in found.note


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": {"a": 1}},
        {"aud": "x" * 501},
        {"aud": "a\nb"},
        {"aud": "\u202eevil"},
        {"aud": []},
        {"exp": True},
        {"exp": "soon"},
        {"exp": 1e300},
        {"exp": float("nan")},
        {"exp": -1e300},
    ],
)
def test_a_claim_of_an_odd_form_is_left_out(claims):
    assert claims_of(token(claims), NOW).shown == ()


@pytest.mark.fuzz
@given(
    st.dictionaries(
        st.sampled_from(["aud", "scp", "exp", "iat", "tid", "other"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            st.lists,
            max_leaves=5,
        ),
    )
)
def test_whatever_the_claims_are_nothing_breaks(claims):
    claims_of(token(claims), NOW)


def page_with(browser, mailbox, secret: Secret) -> str:
    sealed = mailbox.sealed("access_token", secret)
    MailCredentials.objects.filter(pk=mailbox.pk).update(access_token=sealed)
    return browser.get(page_of(mailbox)).content.decode()


def test_the_page_shows_them_and_nothing_else_of_the_token(root, connect):
    secret = token({**MICROSOFT, "aud": "<b>bold</b>"})
    text = page_with(root, connect(), secret)
    assert "IMAP.AccessAsUser.All SMTP.Send" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    for part in secret.reveal().split("."):
        assert part not in text
    for hidden in ("the-key", "the-signature", "Ada Lovelace", "an-internal-handle", "10032001"):
        assert hidden not in text


def test_the_page_of_an_opaque_token_says_so(root, connect):
    assert "opaque: it is no JWT" in page_with(root, connect(), Secret("EwBwA8l6BAAU"))


def test_of_a_token_that_cannot_be_read_nothing_is_claimed(root, connect, settings):
    mailbox = connect()
    settings.FERNET_KEYS = ["another key"]
    assert "There is no readable token." in root.get(page_of(mailbox)).content.decode()
