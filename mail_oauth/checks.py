"""System checks: configuration mistakes, each with the line to write. Ids are stable."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks

from mail_oauth.conf import app_settings, problems
from mail_oauth.encryption import keyring
from mail_oauth.exceptions import ConfigurationError, KeysNotFound, KeySourcesConflict
from mail_oauth.keysource import SETTING, source_name
from mail_oauth.managers.budget import CALLERS_AHEAD, calls_per_second
from mail_oauth.providers import all_providers
from mail_oauth.upkeep.columns import missing_keys

TAG = "mail_oauth"
_PRIVATE_CACHES = ("locmem.LocMemCache", "dummy.DummyCache")
_UNPICKLED_CACHES = ("django_redis.cache.RedisCache", *_PRIVATE_CACHES)

Found = Iterator[checks.CheckMessage]


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Check `MAIL_OAUTH`: names and types first, for nothing else can be read without them."""
    found = problems(getattr(settings, "MAIL_OAUTH", {}))
    if found:
        return [checks.Error(text, id="mail_oauth.E001") for text in found]
    return [message for check in (_providers, _keys, _durations, _cache) for message in check()]


def check_deployment(**_: Any) -> list[checks.CheckMessage]:
    """Check what is right on a laptop and wrong in production."""
    if problems(getattr(settings, "MAIL_OAUTH", {})):
        return []
    checks_of_deployment: tuple[Callable[[], Found], ...] = (_host, _development_left_on, _shared_cache)
    return [message for check in checks_of_deployment for message in check()]


def check_keys_in_use(*, databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Check that every value in these databases is under a key that the site has; one query for each column."""
    if not databases or problems(getattr(settings, "MAIL_OAUTH", {})) or any(True for _ in _keys()):
        return []
    return [_missing(key, uses, using) for using in databases for key, uses in missing_keys(using).items()]


def _missing(key: str, uses: Mapping[str, int], using: str) -> checks.Error:
    columns = ", ".join(f"{number} in {column}" for column, number in uses.items())
    return checks.Error(
        f"Key {key} is not in {source_name()}, but {sum(uses.values())} values of the database {using!r} are sealed "
        f"under it ({columns}). They cannot be read; nothing is lost.",
        hint=f"Put it back into {source_name()}, behind the key that seals. To be rid of it, run manage.py mail_oauth "
        "rotate_keys then, and take it out when key_status shows no value under it.",
        id="mail_oauth.E010",
    )


def _providers() -> Found:
    if not app_settings().providers:
        return
    try:
        endpoint_problems = [text for provider in all_providers() for text in provider.endpoint_problems()]
    except ConfigurationError as error:
        yield checks.Error(str(error), id="mail_oauth.E002")
        return
    for text in endpoint_problems:
        yield checks.Error(text, id="mail_oauth.E006")


def _keys() -> Found:
    try:
        keyring()
    except KeySourcesConflict as error:
        yield checks.Error(str(error), id="mail_oauth.E011")
    except KeysNotFound as error:
        yield checks.Error(str(error), id="mail_oauth.E012")
    except ConfigurationError as error:
        yield checks.Error(str(error), id="mail_oauth.E003")


def _durations() -> Found:
    ours = app_settings()
    budgeted = any(calls_per_second(alias) is not None for alias in ours.providers)
    turn = CALLERS_AHEAD if budgeted else 0.0  # for which a caller may wait, with the lease in hand
    and_turn = f" + {CALLERS_AHEAD:.0f} s for a turn within CALLS_PER_SECOND" if budgeted else ""
    if ours.connect_timeout + ours.read_timeout + ours.total_timeout + turn >= ours.lease_seconds:
        yield checks.Error(
            "A call of a provider may outlast the lease of its mailbox, so that two workers refresh it.",
            hint=f'Keep MAIL_OAUTH["LEASE_SECONDS"] above CONNECT_TIMEOUT + READ_TIMEOUT + TOTAL_TIMEOUT{and_turn}.',
            id="mail_oauth.E004",
        )
    if ours.wait_timeout < ours.total_timeout + turn:
        yield checks.Error(
            "A caller gives up before the refresh that it waits for can have ended.",
            hint=f'Keep MAIL_OAUTH["WAIT_TIMEOUT"] at least at TOTAL_TIMEOUT{and_turn}.',
            id="mail_oauth.E004",
        )


def _cache() -> Found:
    if app_settings().cache not in settings.CACHES:
        yield checks.Error(
            f'MAIL_OAUTH["CACHE"] names {app_settings().cache!r}, which CACHES does not have.',
            id="mail_oauth.E005",
        )


def _host() -> Found:
    if not app_settings().base_url and "*" in settings.ALLOWED_HOSTS:
        yield checks.Error(
            "ALLOWED_HOSTS lets any Host through, so redirect URIs cannot be made from it.",
            hint='Add MAIL_OAUTH["BASE_URL"] = "https://your.site".',
            id="mail_oauth.E007",
        )


def _development_left_on() -> Found:
    if os.environ.get("OAUTHLIB_INSECURE_TRANSPORT"):
        yield checks.Error(
            "OAUTHLIB_INSECURE_TRANSPORT is set: tokens may travel in clear.",
            hint="Remove it from the environment.",
            id="mail_oauth.E008",
        )
    if "mail_oauth.testing" in settings.INSTALLED_APPS:
        yield checks.Warning(
            "mail_oauth.testing is for tests and demos.",
            hint="Take it out of INSTALLED_APPS.",
            id="mail_oauth.W001",
        )
    yield from _key_care()


def _key_care() -> Found:
    ours = app_settings()
    if source_name() == SETTING and not getattr(settings, "FERNET_KEYS", None):
        yield checks.Warning(
            "Tokens are sealed under a key made of SECRET_KEY: changing that would make them unreadable.",
            hint='Add FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]].',
            id="mail_oauth.W002",
        )

    if ours.keys_file and _is_readable_by_others(ours.keys_file):
        yield checks.Warning(
            f"Others on this machine may read the key file {ours.keys_file}.",
            hint=f"Run chmod 600 {ours.keys_file}, as the user that the site runs as; a group may be let in by 640.",
            id="mail_oauth.W009",
        )
    if ours.accept_unbound:
        yield checks.Warning(
            'MAIL_OAUTH["ACCEPT_UNBOUND"] is on: whoever can write to the database can move such values between rows.',
            hint="Run manage.py mail_oauth bind_values, then take the setting out.",
            id="mail_oauth.W010",
        )


def _is_readable_by_others(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:  # E012 says so
        return False


def _shared_cache() -> Found:
    alias = app_settings().cache
    backend = settings.CACHES.get(alias, {}).get("BACKEND", "")
    if backend.endswith(_PRIVATE_CACHES):
        yield checks.Warning(
            f"The cache {alias!r} is private to one process: others neither see its tokens nor its tombstones, and a "
            "rotated refresh token that the database cannot take at once cannot be parked there for them.",
            hint='Set CACHES to django_redis.cache.RedisCache, or name a shared cache in MAIL_OAUTH["CACHE"].',
            id="mail_oauth.W003",
        )
    elif not backend.endswith(_UNPICKLED_CACHES):
        yield checks.Warning(
            f"The cache {alias!r} pickles its values: whoever can write to it can run code here.",
            hint="Use django_redis.cache.RedisCache, with which mail_oauth stores raw bytes.",
            id="mail_oauth.W004",
        )


def register() -> None:
    """Make the checks known to `manage.py check`."""
    checks.register(check_settings, TAG)
    checks.register(check_deployment, TAG, deploy=True)
    checks.register(check_keys_in_use, TAG, checks.Tags.database)
