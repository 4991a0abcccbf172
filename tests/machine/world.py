"""What surrounds the app: a database that may refuse, a cache that may be touched, signals, and time."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache, caches
from django.db import OperationalError
from django.test import override_settings
from django_redis import get_redis_connection
from django_redis.cache import RedisCache

from mail_oauth import parking, signals
from mail_oauth.cache import cache_key, read_raw, token_cache
from mail_oauth.encryption import new_key
from mail_oauth.managers.background import behind
from mail_oauth.managers.health import board
from mail_oauth.models import ConnectAttempt, CredentialEvent, MailCredentials
from mail_oauth.near import near_copies
from mail_oauth.testing.configuring import forget
from mail_oauth.tokens import AccessToken
from tests.losses.passing import age_rows
from tests.machine.watched import WatchedProvider

CALLBACK = "http://testserver"


class Killed(BaseException):
    """What a signal's handler raises in the middle of a save."""


@dataclass
class Gate:
    """Stands before the database: refuses the next saves, `refuse` of them, with `error`."""

    times: int = 0
    event: bool = False
    error: type[BaseException] = OperationalError
    refused: int = 0
    """How many saves were refused so far."""

    def refuse(self, times: int, *, event: bool = False, error: type[BaseException] = OperationalError) -> None:
        """Refuse the UPDATE of a transition, or with `event` the INSERT of its event, after the UPDATE."""
        self.times, self.event, self.error = times, event, error

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if self.times and self._is_save(sql):
            self.times -= 1
            self.refused += 1
            raise self.error("the database is away")
        return execute(sql, params, many, context)

    def _is_save(self, sql: str) -> bool:
        if self.event:
            return sql.startswith("INSERT") and "mail_oauth_credentialevent" in sql
        changed = sql.split(" WHERE ", maxsplit=1)[0]
        return changed.startswith("UPDATE") and "mail_oauth_mailcredentials" in changed and "generation" in changed


@dataclass
class Ears:
    """Every signal since the example began, by mailbox."""

    status: dict[UUID, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    others: dict[UUID, list[str]] = field(default_factory=lambda: defaultdict(list))

    NAMES = ("mailbox_connected", "mailbox_disconnected", "token_refreshed")

    @contextmanager
    def listening(self) -> Iterator[None]:
        receivers: dict[str, Any] = {name: self._receiver(name) for name in self.NAMES}
        receivers["mailbox_status_changed"] = self._status_changed
        for name, receiver in receivers.items():
            getattr(signals, name).connect(receiver, weak=False)
        try:
            yield
        finally:
            for name, receiver in receivers.items():
                getattr(signals, name).disconnect(receiver)

    def _receiver(self, name: str) -> Any:
        def receive(credentials: MailCredentials, **_: Any) -> None:
            self.others[credentials.pk].append(name)

        return receive

    def _status_changed(self, credentials: MailCredentials, old_status: str, new_status: str, **_: Any) -> None:
        self.status[credentials.pk].append((str(old_status), str(new_status)))


@dataclass
class World:
    """Everything around the app, for one run; `clear` makes it empty between examples."""

    strict: WatchedProvider
    lenient: WatchedProvider
    gate: Gate
    ears: Ears
    caplog: Any
    examples: int = 0
    steps: int = 0
    keys: override_settings | None = None

    @property
    def providers(self) -> tuple[WatchedProvider, WatchedProvider]:
        return self.strict, self.lenient

    def clear(self) -> None:
        """Remove all that an example left, in the database too: pytest does so only at the end of a test."""
        self.gate.times = 0
        self.use_keys(["the first key"])
        for model in (*apps.get_app_config("mail_oauth").get_models(), User):
            model._default_manager.all().delete()
        cache.clear()
        forget()
        for provider in self.providers:
            provider.forget_everything()
        self.ears.status.clear()
        self.ears.others.clear()
        self.caplog.clear()

    def use_keys(self, keys: list[str]) -> None:
        """Have these keys, first the one that seals; in the place of those before, for a setting in a setting in a … ends."""
        self.leave_keys()
        self.keys = override_settings(FERNET_KEYS=keys)
        self.keys.enable()

    def leave_keys(self) -> None:
        if self.keys is not None:
            self.keys.disable()
            self.keys = None

    def bring_key(self) -> None:
        """A new key comes before the others."""
        self.use_keys([new_key(), *settings.FERNET_KEYS])

    def drop_old_keys(self) -> None:
        self.use_keys(settings.FERNET_KEYS[:1])

    def pass_time(self, seconds: float) -> None:
        """Let time pass by moving all that is dated into the past: no clock is patched.

        What is near is forgotten, as are lanes' holds: they would have been after three seconds.
        """
        near_copies.clear()
        board.forget()
        span = timedelta(seconds=seconds)
        for row in MailCredentials.objects.all():
            _age_cached(row.pk, span)
            _age_parked(row.pk, span)
        age_rows(span, but={CredentialEvent, ConnectAttempt})
        for provider in self.providers:
            provider.pass_time(seconds)
        behind._tried_at.clear()

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret that went over the wire in this example."""
        return self.strict.issued | self.lenient.issued


def _age_cached(pk: UUID, span: timedelta) -> None:
    token = token_cache.get(pk)
    if token is None:
        return
    token_cache.forget(pk)
    times = {"issued_at": token.issued_at - span, "expires_at": token.expires_at - span}
    token_cache.put(pk, AccessToken(token.reveal(), generation=token.generation, **times))


def _age_parked(pk: UUID, span: timedelta) -> None:
    pair = parking.parked(pk)
    if pair is not None:
        parking.discard(pk)
        assert parking.park(pk, replace(pair, received_at=pair.received_at - span))


def write_raw(key: str, value: Any) -> None:
    """Put anything into the cache, past this app and past django-redis."""
    backend = caches["default"]
    if isinstance(backend, RedisCache):
        raw = value if isinstance(value, bytes) else pickle.dumps(value)
        get_redis_connection("default").set(str(backend.make_key(key)), raw)
    else:
        backend.set(key, value)


def cached_bytes(pk: UUID, resource: str) -> bytes:
    """What stands in the cache for a mailbox, as anybody would see it there."""
    raw = read_raw(cache_key(pk, resource))
    return b"" if raw is None else raw if isinstance(raw, bytes) else pickle.dumps(raw)


def cache_names() -> list[str]:
    """The names of all that the cache holds."""
    backend = caches["default"]
    return list(backend.keys("*")) if isinstance(backend, RedisCache) else list(backend._cache)
