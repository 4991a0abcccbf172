"""Where the keys come from: `FERNET_KEYS`, a file, or a callable that asks a KMS; one of them.

What is read here is secret. Errors name the source and what is wrong with it, never a part of a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, KeysNotFound, KeySourcesConflict
from mail_oauth.frames import keeps_locals_in

RawKey = str | bytes

FILE = 'MAIL_OAUTH["KEYS_FILE"]'
CALLABLE = 'MAIL_OAUTH["KEYS"]'
SETTING = "FERNET_KEYS"

_FERNET_KEY = re.compile(r"[\w-]{43}=")
_LINE = 'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]'


def source_name() -> str:
    """Return the name of the setting that the keys come from."""
    ours = app_settings()
    return FILE if ours.keys_file else CALLABLE if ours.keys else SETTING


def can_change() -> bool:
    """Tell whether the source may have other keys by now than when it was read: a setting never has."""
    return source_name() != SETTING


@keeps_locals_in
def raw_keys() -> Sequence[RawKey]:
    """Read the keys as they are written there; the first seals.

    Raises `KeySourcesConflict` where several sources are named, `KeysNotFound` where the one has none, and
    `ConfigurationError` for what is no key.
    """
    _refuse_conflict()
    ours = app_settings()
    if ours.keys_file:
        return _of_file(Path(ours.keys_file))
    if ours.keys:
        return _of_callable(ours.keys)
    keys = getattr(settings, "FERNET_KEYS", None) or [settings.SECRET_KEY]
    return _checked(_taken(keys), f"FERNET_KEYS must be a list of keys: {_LINE}.")


def _refuse_conflict() -> None:
    ours = app_settings()
    named = [
        name
        for name, value in (
            (SETTING, getattr(settings, "FERNET_KEYS", None)),
            (FILE, ours.keys_file),
            (CALLABLE, ours.keys),
        )
        if value
    ]
    if len(named) > 1:
        raise KeySourcesConflict(
            f"Keys come from {' and '.join(named)}: leave one of them. What another one still seals or opens with "
            f"goes into that one, the key that seals first."
        )


@keeps_locals_in
def _of_file(path: Path) -> Sequence[RawKey]:
    remedy = f"Write one key per line into it; manage.py mail_oauth generate_key prints one. {FILE} names it."
    shown = "(a key instead of a path?)" if _FERNET_KEY.fullmatch(str(path)) else str(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise KeysNotFound(f"The key file {shown} is not text. {remedy}") from None
    except OSError as error:
        raise KeysNotFound(
            f"The key file {shown} cannot be read ({error.strerror or type(error).__name__}). {remedy}"
        ) from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise KeysNotFound(f"The key file {shown} holds no key. {remedy}")
    return keys


@keeps_locals_in
def _of_callable(named: str | Callable[[], Iterable[RawKey]]) -> Sequence[RawKey]:
    """Call it. Its own error is not shown, for it may tell of a key; its kind is."""
    name = named if isinstance(named, str) else getattr(named, "__qualname__", type(named).__name__)
    try:
        callee = import_string(named) if isinstance(named, str) else named
        keys = _taken(callee())  # a generator's own error comes only here
    except ImportError as error:
        raise KeysNotFound(f"{CALLABLE} names {name!r}, which cannot be imported: {error}.") from None
    except Exception as error:  # noqa: BLE001  # whatever a KMS's client raises
        raise KeysNotFound(f"{CALLABLE}, {name}, gave no keys: it raised {type(error).__name__}.") from None
    return _checked(keys, f"{CALLABLE}, {name}, must return a list of keys with at least one in it.")


@keeps_locals_in
def _taken(keys: Any) -> tuple[Any, ...]:
    """Return what a source gave, read once, for a generator can be read no second time; nothing of what is no list.

    A string would be taken for a list of one-letter keys.
    """
    if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
        return ()
    return tuple(keys)


@keeps_locals_in
def _checked(keys: tuple[Any, ...], complaint: str) -> Sequence[RawKey]:
    # None would be hashed into a key that everyone knows.
    if not keys or not all(raw and isinstance(raw, (str, bytes)) for raw in keys):
        raise ConfigurationError(complaint)
    return keys
