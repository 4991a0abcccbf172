"""Tests that plant secrets where none may stand. `test_watch.py` runs them and sees the watch find each one.

pytest does not collect them by itself: each passes, and the run that they are in fails.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils.html import escape
from fernet_fields.hkdf import derive_fernet_key
from hypothesis import given
from hypothesis.strategies import just

from mail_oauth.testing.recorder import SECRETS_FILE
from mail_oauth.tokens import Secret
from tests.app_only.conftest import add, site

__all__ = ["add", "site"]

urlpatterns: list[Any] = []

SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a form": quote_plus,
    "in HTML": escape,
    "in hex": lambda secret: secret.encode().hex(),
    "in HEX": lambda secret: secret.encode().hex().upper(),
    "in base64 0": lambda secret: base64.b64encode(f"{secret} and more".encode()).decode(),
    "in base64 1": lambda secret: base64.b64encode(f"x{secret} and more".encode()).decode(),
    "in base64 2": lambda secret: base64.urlsafe_b64encode(f"xy{secret}".encode()).decode(),
    "its beginning": lambda secret: secret[:40] if len(secret) > 64 else secret,
    "its end": lambda secret: secret[-40:] if len(secret) > 64 else secret,
}


# --- ways to write a text somewhere ---


def a_log_at_debug(text: str) -> None:
    logging.getLogger("planted").debug("found %s", text)


def an_extra_of_a_silenced_log(text: str) -> None:
    logger = logging.getLogger("planted.silent")
    logger.setLevel(logging.CRITICAL)
    logger.info("found", extra={"token": text})


def the_locals_of_an_error_in_a_log(text: str) -> None:
    try:
        _fail(text)
    except ZeroDivisionError:
        logging.getLogger("planted").exception("failed")


def the_locals_of_an_expected_error(text: str) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail(text)


def a_note_of_a_cause(text: str) -> None:
    cause = ValueError("x")
    cause.add_note(text)
    with pytest.raises(KeyError):
        raise KeyError from cause


def stdout(text: str) -> None:
    print(text)


def stderr(text: str) -> None:
    print(text, file=sys.stderr)


def a_page(text: str) -> None:
    _ask(lambda request: HttpResponse(f"<p>{text}"))


def a_header(text: str) -> None:
    _ask(lambda request: HttpResponse(headers={"Location": f"/?x={text}"}, status=302))


def a_cookie(text: str) -> None:
    def view(request: Any) -> HttpResponse:
        response = HttpResponse()
        response.set_cookie("x", text)
        return response

    _ask(view)


def the_query_of_a_request(text: str) -> None:
    _ask(lambda request: HttpResponse(), f"/?x={text}")


def the_locals_of_a_view(text: str) -> None:
    _ask(lambda request: _fail(text))


def a_statement(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [text.encode()])


def a_cache_in_memory(text: str) -> None:
    cache.set("x", {"token": text})


def a_file_that_is_removed(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "x").write_text(text)


def a_log_of_a_child(text: str) -> None:
    program = "import sys, logging, django; django.setup(); logging.getLogger('x').debug(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, text], check=True, cwd=Path(__file__).parents[2])


PLACES = {
    a_log_at_debug: "logs",
    an_extra_of_a_silenced_log: "logs",
    the_locals_of_an_error_in_a_log: "logs",
    the_locals_of_an_expected_error: "errors",
    a_note_of_a_cause: "errors",
    stdout: "output",
    stderr: "output",
    a_page: "responses",
    a_header: "responses",
    a_cookie: "responses",
    the_query_of_a_request: "responses",
    the_locals_of_a_view: "crashes",
    a_statement: "statements",
    a_cache_in_memory: "memory caches",
    a_file_that_is_removed: "temporary",
    a_log_of_a_child: "logs",
}


def _fail(text: str) -> Any:
    """Fail in a frame that is not the tests'."""
    scope: dict[str, Any] = {}
    exec(compile("def fail(token):\n    return 1 / 0\n", "/site/views.py", "exec"), scope)
    return scope["fail"](text)


def _ask(view: Callable[[Any], Any], url: str = "/") -> None:
    urlpatterns[:] = [path("", view)]
    with override_settings(ROOT_URLCONF=__name__):
        Client(raise_request_exception=False).get(url)


# --- the tests; each passes ---


def test_nothing_is_planted(fake_provider_server, db):
    for place in PLACES:
        place("nothing")


@given(just("mail_oauth.provider.call.duration"))
def test_nothing_that_hypothesis_made_up(text):
    assert Secret(text).reveal() == text
    logging.getLogger("planted").warning("found %s", text)


@pytest.mark.django_db
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_token(place, fake_provider_server):
    place(fake_provider_server.grant("ada@example.com", "google")["access_token"])


def test_a_token_in_a_file(tmp_path, fake_provider_server):
    token = fake_provider_server.grant("ada@example.com", "google")["access_token"]
    (tmp_path / "x").write_bytes(bytes(3) + token.encode() + bytes(3))


@pytest.mark.django_db(transaction=True)
def test_a_token_in_a_table(django_user_model, fake_provider_server):
    reply = fake_provider_server.grant("ada@example.com", "plain", "mail offline_access")
    django_user_model.objects.create_user("ada", first_name=reply["refresh_token"])


def test_a_token_in_redis(redis_cache, fake_provider_server):
    cache.set("x", fake_provider_server.grant("ada@example.com", "google")["access_token"])


@pytest.mark.parametrize("personality", ["google", "microsoft"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_any_spelling(spelling, personality, fake_provider_server):
    secret = fake_provider_server.grant("ada@example.com", personality)["access_token"]
    a_log_at_debug(SPELLINGS[spelling](secret))


@pytest.mark.parametrize("spelling", ["raw", "in HTML", "in a URL", "in a form", "in base64 1", "in JSON"])
def test_a_client_secret_of_odd_characters(spelling, fake_provider_server):
    secret = f'an "odd" & <long>/secret+of {spelling}'
    fake_provider_server.add_client(spelling, secret)
    a_log_at_debug({**SPELLINGS, "in JSON": json.dumps}[spelling](secret))


@pytest.mark.parametrize("kind", ["access_token", "refresh_token", "id_token"])
def test_any_token(kind, fake_provider_server):
    reply = fake_provider_server.grant("ada@example.com", "oidc", "openid email offline_access mail")
    a_log_at_debug(reply[kind])


@pytest.mark.parametrize("kind", ["code", "state", "nonce", "code_verifier", "authorization", "client_secret"])
def test_what_passes_during_a_consent(kind, surfer, settings):
    ours = settings.MAIL_OAUTH
    ours["PROVIDERS"]["keycloak"]["CLIENT_AUTH"] = "basic"
    settings.MAIL_OAUTH = ours
    notes = Path(os.environ[SECRETS_FILE])
    before = notes.stat().st_size
    surfer.connect("keycloak")
    passed = dict(json.loads(line) for line in notes.read_bytes()[before:].splitlines())
    a_log_at_debug(passed[kind])


def test_a_state_that_never_reached_the_provider(surfer):
    url = surfer.start("keycloak")
    a_log_at_debug(url)


@pytest.mark.parametrize("name", ["SECRET_KEY", "FERNET_KEYS", "FERNET_KEYS, derived", "FERNET_KEYS, changed"])
def test_keys(name, settings):
    if name == "FERNET_KEYS, changed":
        settings.FERNET_KEYS = ["another key of this test alone"]
    key = settings.SECRET_KEY if name == "SECRET_KEY" else settings.FERNET_KEYS[0]
    a_log_at_debug(derive_fernet_key(key).decode() if "derived" in name else key)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["client_assertion", "assertion"])
def test_what_an_app_shows_of_itself(kind, site, add):
    if kind == "client_assertion":
        certificate = site.certificate()
        site.provider.register_app(certificates=[certificate.public])
        site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=str(certificate.path))
    notes = Path(os.environ[SECRETS_FILE])
    before = notes.stat().st_size
    add("work" if kind == "client_assertion" else "domain", "ada@example.com").get_access_token()
    passed = dict(json.loads(line) for line in notes.read_bytes()[before:].splitlines())
    a_log_at_debug(passed[kind])


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["a certificate's", "a certificate's in a file", "a service account's"])
def test_a_line_of_a_private_key(kind, site):
    certificate, account = site.certificate(), site.provider.add_service_account()
    if kind == "a service account's":
        site.change("domain", SERVICE_ACCOUNT=account)
    else:
        whole, path = certificate.path.read_text(), str(certificate.path)
        site.change("work", CLIENT_CERTIFICATE=path if "file" in kind else whole)
    key = account["private_key"] if kind == "a service account's" else certificate.private
    a_log_at_debug(key.splitlines()[5])
