"""A sealed value opens at its own place, unaltered, under a key of the settings; else it is refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.encryption import fingerprint_of, keyring, seal, unseal
from mail_oauth.exceptions import ConfigurationError, SealError, UnsealedValue
from mail_oauth.sealing import Key, Keyring, Sealed
from mail_oauth.tokens import Secret

PLACES = ["mailbox.access_token:1", "mailbox.access_token:2", "mailbox.refresh_token:1", "attempt.nonce:1", ""]
RING = Keyring((Key(Fernet.generate_key()), Key(Fernet.generate_key())))
SEALED = RING.seal(Secret("token"), "place")
texts = st.text(st.characters(exclude_categories=["Cs"]))
places = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(texts, places)
def test_what_was_sealed_opens_at_its_place(secret, place):
    assert RING.unseal(RING.seal(Secret(secret), place), place).reveal() == secret


@given(texts, places, places)
def test_it_opens_at_no_other_place(secret, place, other):
    sealed = RING.seal(Secret(secret), place)
    if other != place:
        with pytest.raises(SealError):
            RING.unseal(sealed, other)


def test_a_place_whose_name_could_run_into_the_secret_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        RING.seal(Secret("secret"), "place\0secret")
    with pytest.raises(ValueError, match="NUL"):
        RING.unseal(RING.seal(Secret("b\0c"), "a"), "a\0b")


@pytest.mark.parametrize("place", PLACES)
def test_it_opens_at_no_other_row_column_or_table(place):
    sealed = seal(Secret("token"), place)
    for other in PLACES:
        if other != place:
            with pytest.raises(SealError, match="another place"):
                unseal(sealed, other)


@given(st.data())
def test_a_flipped_character_never_opens_to_something_else(data):
    at = data.draw(st.integers(0, len(SEALED.text) - 1))
    replacement = data.draw(st.characters())
    altered = Sealed(SEALED.text[:at] + replacement + SEALED.text[at + 1 :])
    if altered != SEALED:
        with pytest.raises(SealError):
            RING.unseal(altered, "place")


@given(st.integers(0, len(base64.urlsafe_b64decode(SEALED.text[21:])) * 8 - 1))
def test_a_flipped_bit_is_refused(bit):
    blob = bytearray(base64.urlsafe_b64decode(SEALED.text[21:]))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        RING.unseal(Sealed(SEALED.text[:21] + base64.urlsafe_b64encode(blob).decode()), "place")


@given(st.integers(0, len(SEALED.text) - 1))
def test_a_truncated_value_is_refused(length):
    with pytest.raises(SealError):
        RING.unseal(Sealed(SEALED.text[:length]), "place")


@given(st.text())
def test_any_text_is_opened_or_refused_and_never_crashes(text):
    for prefix in ("", "mo1:", SEALED.text[:21]):
        with pytest.raises(SealError):
            RING.unseal(Sealed(prefix + text), "place")


@pytest.mark.parametrize("text", ["", "mo1", "mo1::", "mo1:::", "mo2" + SEALED.text[3:], "grüße"])
def test_odd_texts_are_refused(text):
    with pytest.raises(SealError):
        RING.unseal(Sealed(text), "place")


def test_the_fingerprint_in_clear_cannot_be_changed():
    other = RING.keys[1].fingerprint
    forged = Sealed(SEALED.text.replace(SEALED.fingerprint, other))
    assert forged.fingerprint == other
    with pytest.raises(SealError):
        RING.unseal(forged, "place")


def test_the_fingerprint_is_authenticated_under_its_own_key():
    first, second = RING.keys
    claims_the_other = f"{second.fingerprint}\0place\0token"
    forged = Sealed(f"mo1:{first.fingerprint}:{first.fernet.encrypt(claims_the_other.encode()).decode()}")
    with pytest.raises(SealError):
        RING.unseal(forged, "place")


def test_a_lost_key_is_named_and_its_value_is_kept():
    with pytest.raises(SealError, match=SEALED.fingerprint):
        Keyring((Key(Fernet.generate_key()),)).unseal(SEALED, "place")


def test_neither_the_text_nor_the_reprs_hold_the_secret_or_the_key():
    key = Key(Fernet.generate_key())
    sealed = Keyring((key,)).seal(Secret("a-token-in-clear"), "place")
    shown = f"{sealed!r} {sealed} {sealed.text} {key!r} {Keyring((key,))!r}"
    assert "a-token-in-clear" not in shown
    assert key.raw.decode() not in shown


def test_a_sealed_value_is_made_of_text_only():
    with pytest.raises(UnsealedValue):
        Sealed(b"bytes")  # type: ignore[arg-type]


class TestKeysOfTheSettings:
    def test_are_those_of_django_fernet_fields(self, settings):
        from fernet_fields import EncryptedTextField

        settings.FERNET_KEYS = ["a", "b"]
        assert [key.raw for key in keyring().keys] == EncryptedTextField().fernet_keys

    def test_are_the_secret_key_where_there_are_none(self, settings):
        del settings.FERNET_KEYS
        before = seal(Secret("token"), "place")
        settings.SECRET_KEY = "another"
        with pytest.raises(SealError):
            unseal(before, "place")

    @pytest.mark.parametrize("keys", ["one string", b"bytes", [None], [""], ["good", None], [5]])
    def test_that_would_be_no_secret_are_refused(self, settings, keys):
        settings.FERNET_KEYS = keys
        with pytest.raises(ConfigurationError, match=r"FERNET_KEYS = \["):
            keyring()

    def test_that_are_malformed_are_refused(self, settings):
        settings.FERNET_USE_HKDF = False
        settings.FERNET_KEYS = ["too short"]
        with pytest.raises(ConfigurationError, match=r"generate_key"):
            keyring()

    def test_fingerprints_of_tokens_differ_and_depend_on_the_key(self, settings):
        first = fingerprint_of(Secret("token"))
        assert first == fingerprint_of(Secret("token")) != fingerprint_of(Secret("other"))
        settings.FERNET_KEYS = ["another"]
        assert fingerprint_of(Secret("token")) != first
