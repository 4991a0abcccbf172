"""Which secrets there are besides those that the fake provider tells of: the site's own, and what the app hides."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from fernet_fields.hkdf import derive_fernet_key
from hypothesis import currently_in_test_context

import mail_oauth
import tests
from mail_oauth.tokens import AccessToken, Secret
from tests.canary.spool import Spool

_TOKEN = re.compile(r"[\w.~+/!*$-]{16,}={0,2}", re.ASCII)
"""A token, a code or the like: what the app hides besides (URLs, queries, JSON) is secret only where it holds one."""
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----(.+?)-----END", re.DOTALL)
_NAME = re.compile(r"[a-z]+(_[a-z]+)+=?")
"""A query of one parameter without a value."""


def tap(spool: Spool, around: Callable[..., None]) -> None:
    """Keep the keys of the settings, as they are and as tests change them, and whatever becomes a `Secret`."""

    def noted(true: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            found = true(*args, **kwargs)
            text = (args[0] if found is None else found)._value
            if (
                isinstance(text, str)
                and _TOKEN.fullmatch(text)
                and not (_NAME.fullmatch(text) or _is_made_up(text))
            ):
                spool.note_secret("Secret", text)
            return found

        return made

    around(Secret, "__init__", noted)
    around(AccessToken, "__init__", noted)
    of_epoch = AccessToken.__dict__["of_epoch"].__func__
    AccessToken.of_epoch = classmethod(functools.wraps(of_epoch)(noted(of_epoch)))  # type: ignore[method-assign, assignment]

    def changed(*, setting: str, value: Any, **_: Any) -> None:
        _note_setting(spool, setting, value)

    for name in ("SECRET_KEY", "FERNET_KEYS", "MAIL_OAUTH"):
        _note_setting(spool, name, getattr(settings, name, None))
    setting_changed.connect(changed, weak=False, dispatch_uid="tests.canary")


def _is_made_up(text: str) -> bool:
    """Tell whether Hypothesis took a text from our own sources, as it does: they stand in files, and hide nothing."""
    return currently_in_test_context() and text in _words_of_our_sources()


@functools.cache
def _words_of_our_sources() -> frozenset[str]:
    sources = (path for package in (mail_oauth, tests) for path in Path(package.__path__[0]).rglob("*.py"))
    return frozenset(word for path in sources for word in _TOKEN.findall(path.read_text(errors="replace")))


def _note_setting(spool: Spool, name: str, value: Any) -> None:
    if name == "SECRET_KEY":
        _note_keys(spool, name, [value])
    elif name == "FERNET_KEYS" and isinstance(value, (list, tuple)):
        _note_keys(spool, name, value)
    elif name == "MAIL_OAUTH" and isinstance(value, dict):
        for options in value.get("PROVIDERS", {}).values():
            given = options.get("CLIENT_SECRET") if isinstance(options, dict) else None
            _note_keys(spool, "client_secret", given if isinstance(given, (list, tuple)) else [given])
            _note_private_keys(spool, options if isinstance(options, dict) else {})


def _note_private_keys(spool: Spool, options: dict[str, Any]) -> None:
    """Keep each line of the keys that a certificate, or a service account, has in the settings or in a file."""
    for name in ("CLIENT_CERTIFICATE", "SERVICE_ACCOUNT"):
        given = options.get(name)
        for each in given if isinstance(given, (list, tuple)) else [given]:
            for pem in _PRIVATE_KEY.findall(_text_of(each)):
                for line in pem.replace("\\n", "\n").split()[:-1]:  # the last may be a few letters
                    spool.note_secret("private_key", line)


def _text_of(option: Any) -> str:
    if isinstance(option, dict):
        return str(option.get("private_key", ""))
    text = option.reveal() if isinstance(option, Secret) else str(option or "")
    path = Path(text) if text and "PRIVATE KEY" not in text else None
    return path.read_text() if path is not None and path.is_file() else text


def _note_keys(spool: Spool, name: str, keys: Iterable[Any]) -> None:
    for key in keys:
        if isinstance(key, (str, bytes)) and key:
            spool.note_secret(name, key if isinstance(key, str) else key.decode("latin-1"))
            if name != "client_secret":
                spool.note_secret(f"{name}, derived", derive_fernet_key(key).decode())
