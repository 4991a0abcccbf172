"""An error that leaves a marked function carries none of the locals of the frames it came through."""

from __future__ import annotations

import base64
import traceback

import pytest

from mail_oauth.exceptions import SealError, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret
from tests.canary.errors import chain

CANARY = "canary-in-the-open"


def locals_of(error: BaseException) -> str:
    """Every local of every frame, of an error and those behind it, but for this module's test functions."""
    found = []
    for each in chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if not frame.f_code.co_name.startswith("test_"):
                found.append(f"{frame.f_code.co_name}: {frame.f_locals!r}")
    return "\n".join(found)


def deep(opened: str) -> None:
    copy = [opened]
    base64.b64decode(copy[0], validate=True)


@keeps_locals_in
def marked(secret: Secret) -> None:
    opened = secret.reveal()
    deep(opened)


@keeps_locals_in
def marked_with_a_cause(secret: Secret) -> None:
    opened = secret.reveal()
    try:
        deep(opened)
    except ValueError as error:
        raise SealError("no") from error


@keeps_locals_in
def marked_with_a_context(secret: Secret) -> None:
    opened = secret.reveal()
    try:
        deep(opened)
    except ValueError:
        raise SealError(f"of {len(opened)} characters") from None


@keeps_locals_in
def marked_with_a_group(secret: Secret) -> None:
    found = []
    for opened in [secret.reveal()] * 2:
        try:
            deep(opened)
        except ValueError as error:
            found.append(error)
    raise ExceptionGroup("several", found)


MARKED = [marked, marked_with_a_cause, marked_with_a_context, marked_with_a_group]


@pytest.mark.parametrize("function", MARKED, ids=lambda function: function.__name__)
class TestAMarkedFunction:
    def test_lets_no_local_out(self, function):
        with pytest.raises((ValueError, ExceptionGroup)) as caught:
            function(Secret(CANARY))
        shown = locals_of(caught.value)
        assert "deep: {}" in shown
        assert CANARY not in shown

    def test_would_without_the_mark(self, function):
        with pytest.raises((ValueError, ExceptionGroup)) as caught:
            function.__wrapped__(Secret(CANARY))
        assert CANARY in locals_of(caught.value)

    def test_still_says_where_it_happened(self, function):
        with pytest.raises((ValueError, ExceptionGroup)) as caught:
            function(Secret(CANARY))
        text = "".join(traceback.format_exception(caught.value))
        assert f"in {function.__name__}\n" in text


def test_what_was_there_before_is_left_alone():
    """An error that the caller is handling keeps its frames: they are the caller's to show."""

    def of_the_caller() -> None:
        kept = "a local of the site's own"
        raise KeyError(len(kept))

    try:
        of_the_caller()
    except KeyError as error:
        handled = error
        with pytest.raises(ValueError, match="base64") as caught:
            marked(Secret(CANARY))
    assert "a local of the site's own" in locals_of(handled)
    assert caught.value.__context__ is handled


def test_what_ends_a_thread_lets_nothing_out_either():
    @keeps_locals_in
    def interrupted(secret: Secret) -> None:
        opened = secret.reveal()
        raise KeyboardInterrupt(len(opened))

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted(Secret(CANARY))
    assert CANARY not in locals_of(caught.value)


def test_a_function_goes_on_as_it_was():
    assert keeps_locals_in(str.upper)("a") == "A"
    assert marked.__name__ == "marked"


SENT = "what-was-sent-somewhere"


class TestWhereSecretsLieOpen:
    """Some of the real places, each broken from within, with an error that no line of ours expects."""

    def test_a_call_of_the_token_endpoint(self, provider, monkeypatch):
        from mail_oauth.providers import provider_for

        def broken(*args: object, **kwargs: object) -> None:
            raise ZeroDivisionError

        endpoint = provider_for("keycloak").token_endpoint()
        monkeypatch.setattr("socket.socket.sendall", broken)
        for call in (
            lambda: endpoint.redeem(Secret(SENT), redirect_uri="http://x/", code_verifier=Secret(SENT)),
            lambda: endpoint.refresh(Secret(SENT)),
            lambda: endpoint.revoke(endpoint.url, Secret(SENT)),
        ):
            with pytest.raises(ZeroDivisionError) as caught:
                call()
            shown = locals_of(caught.value)
            assert "send: {}" in shown
            assert SENT not in shown
            assert provider.client_secret not in shown

    def test_a_fault_of_the_line(self, provider):
        from mail_oauth.providers import provider_for
        from mail_oauth.testing.faults import Fault

        with provider.fault(Fault.close()), pytest.raises(TransportError) as caught:
            provider_for("keycloak").token_endpoint().refresh(Secret(SENT))
        assert SENT not in locals_of(caught.value)
        assert provider.client_secret not in locals_of(caught.value)

    def test_a_value_sealed_for_another_place(self):
        """It was decrypted before the place in it was compared."""
        from mail_oauth.encryption import seal, unseal

        with pytest.raises(SealError) as caught:
            unseal(seal(Secret(SENT), "here"), "there")
        assert SENT not in locals_of(caught.value)

    def test_keys_that_are_none(self, settings):
        from mail_oauth.encryption import keyring
        from mail_oauth.exceptions import ConfigurationError

        settings.FERNET_USE_HKDF = False
        settings.FERNET_KEYS = [SENT]
        with pytest.raises(ConfigurationError) as caught:
            keyring()
        assert SENT not in locals_of(caught.value)

    def test_settings_with_a_mistake(self, settings):
        from mail_oauth.conf import app_settings
        from mail_oauth.exceptions import ConfigurationError

        settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_SECRET": SENT}}, "PROXY": SENT, "NO_SUCH": 1}
        with pytest.raises(ConfigurationError) as caught:
            app_settings()
        assert SENT not in locals_of(caught.value)

    def test_a_provider_with_a_mistake(self, settings):
        from mail_oauth.exceptions import ConfigurationError
        from mail_oauth.providers import provider_for

        settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_ID": "x", "CLIENT_SECRET": SENT, "NO_SUCH": 1}}}
        with pytest.raises(ConfigurationError) as caught:
            provider_for("google")
        assert SENT not in locals_of(caught.value)
        assert "CLIENT_SECRET" in locals_of(caught.value)
