"""The keys under which tokens are sealed."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings
from mail_oauth.encryption import keyring
from mail_oauth.exceptions import ConfigurationError, KeysNotFound, KeySourcesConflict
from mail_oauth.keysource import SETTING, source_name
from mail_oauth.upkeep.columns import keys_in_use


def malformed() -> Found:
    """Find keys that are none, and sources that give none."""
    try:
        keyring()
    except KeySourcesConflict as error:
        yield found("E011", str(error), "")
    except KeysNotFound as error:
        yield found("E012", str(error), "")
    except ConfigurationError as error:
        yield found("E003", str(error), "")


def secret_key() -> Found:
    """Find a site without a key of its own for tokens."""
    if source_name() == SETTING and not getattr(settings, "FERNET_KEYS", None):
        yield found(
            "W002", "Tokens are sealed under a key made of SECRET_KEY: changing that would make them unreadable."
        )


def key_file() -> Found:
    """Find a key file that everybody on the machine may read."""
    path = app_settings().keys_file
    if path and _is_readable_by_others(path):
        yield found(
            "W009",
            f"Others on this machine may read the key file {path}.",
            f"Run chmod 600 {path}, as the user that the site runs as; a group may be let in by 640.",
        )


def unbound() -> Found:
    """Find a site that reads values which are bound to no place."""
    if app_settings().accept_unbound:
        yield found(
            "W010",
            'MAIL_OAUTH["ACCEPT_UNBOUND"] is on: whoever can write to the database can move such values between rows.',
        )


def in_use(databases: Sequence[str]) -> Found:
    """Find values in these databases under a key that the site does not have; one query for each column.

    It is an error only where most values are: `migrate` runs this first, and a few values of another site's must not
    stop a deployment.
    """
    if any(True for _ in malformed()):
        return
    known = {key.fingerprint for key in keyring().keys}
    for using in databases:
        used = keys_in_use(using)
        missing = {key: uses for key, uses in used.items() if key not in known}
        number = "E010" if 2 * _how_many(missing) > _how_many(used) else "W011"
        for key, uses in missing.items():
            columns = ", ".join(f"{values} in {column}" for column, values in uses.items())
            yield found(
                number,
                f"Key {key} is not in {source_name()}, but {sum(uses.values())} values of the database {using!r} are "
                f"sealed under it ({columns}). They cannot be read; nothing is lost.",
                f"Put it back into {source_name()}, behind the key that seals. To be rid of it, run manage.py "
                "mail_oauth rotate_keys then, and take it out when key_status shows no value under it.",
            )


def _how_many(uses: Mapping[str, Mapping[str, int]]) -> int:
    return sum(number for columns in uses.values() for number in columns.values())


def _is_readable_by_others(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:  # E012 says so
        return False
