"""The one settings dict, `MAIL_OAUTH`: typed, with its defaults, read lazily."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from mail_oauth.choices import MailProtocol, Notified, Policy, Sharing
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Every setting, with its default. Durations are in seconds unless the name says otherwise.

    What of a provider's options is secret is a `Secret` here.
    """

    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Provider aliases and their options (`CLIENT_ID`, `CLIENT_SECRET` …)."""
    base_url: str = ""
    """Scheme and host of the site, of which redirect URIs are made; empty: those of the request."""
    success_url: str = "mail_oauth:mailboxes"
    """Where a user goes after connecting: a URL, a path or a URL name."""
    keys_file: str = ""
    """A file with one key per line, instead of `FERNET_KEYS`; the first seals, all open."""
    keys: str | Callable[[], Any] = ""
    """A callable, or its dotted path, that returns the list of keys (from a KMS), instead of `FERNET_KEYS`."""
    accept_unbound: bool = False
    """Whether values that django-fernet-fields' own field wrote are read before `bind_values` has bound them."""
    private_hosts: tuple[str, ...] = ()
    """Provider hosts that may have a private or loopback address (an on-premises Keycloak)."""
    cache: str = "default"
    """The alias in `CACHES` that holds copies of access tokens."""
    cache_prefix: str = "mail_oauth"
    """What every cache key starts with."""
    near_cache_seconds: float = 3.0
    """For how long a process gives out a token again without asking the cache; 0: never."""
    near_cache_size: int = 10_000
    """How many tokens a process keeps that way; the one unused for longest goes first."""
    refresh_policy: str = "always"
    """Which mailboxes are kept warm: `always`, `recently_used`, or none (`on_demand`); all grants are kept alive."""
    recent_use_days: float = 7.0
    """For how many days after its last use a mailbox is recently used."""
    keep_alive_days: float = 30.0
    """After how many days, at the latest, an idle mailbox is refreshed so that its grant lives on."""
    refresh_margin: int = 300
    """A token is refreshed when it has this long to live, or a third of its lifetime if that is less."""
    min_validity: int = 60
    """A caller never gets a token that lives shorter, unless it was issued so."""
    refresh_jitter: int = 60
    """Refreshes come up to this long before the margin, or a tenth of the lifetime; how long, each mailbox keeps."""
    default_expires_in: int = 600
    """The lifetime that is assumed where a provider names none."""
    connect_timeout: float = 5.0
    """How long a TCP or TLS connection to a provider may take."""
    read_timeout: float = 10.0
    """How long a provider may stay silent within one answer."""
    total_timeout: float = 20.0
    """How long one call of a provider may take in all."""
    mail_timeout: float = 60.0
    """How long a mail server may be silent within one answer, once it has signed a mailbox in."""
    default_mailbox: str = ""
    """Through which mailbox, its address or primary key, the e-mail backend sends what is nobody's; empty: none."""
    sending_user: str = ""
    """Of which user, by name, the e-mail backend chooses a mailbox by `from_email`; empty: it chooses none by it."""
    lease_seconds: int = 60
    """How long one worker may hold a mailbox for a refresh; more than all timeouts together."""
    wait_timeout: float = 25.0
    """How long a caller waits for a refresh that another one runs."""
    ca_bundle: str = ""
    """A file or folder of certificates to trust; empty: `REQUESTS_CA_BUNDLE`, else certifi's."""
    proxy: str = field(default="", repr=False)  # its URL may hold a password
    """The proxy for calls of providers; empty: the environment's."""
    background_threads: int = 4
    """How many refreshes run behind callers in one process; 0: they are left to the sweep."""
    refresh_threads: int = 16
    """How many refreshes one `refresh_batch` runs at once."""
    batch_size: int = 100
    """How many due mailboxes one claim takes."""
    batch_tasks: int = 2
    """How many `refresh_batch` tasks one tick of beat enqueues at the most."""
    batch_seconds: int = 50
    """How long one `refresh_batch` goes on claiming."""
    reconcile_repairs: int = 100_000
    """How many copies one `reconcile_cache` mends at the most, and how many mailboxes it reschedules; 0: any number."""
    backoff_base: int = 30
    """The first pause after a passing fault; it doubles with each further one."""
    backoff_cap: int = 3600
    """The longest pause after passing faults."""
    backoff_long: int = 6 * 3600
    """The pause after faults that pass slowly or need the administrator of the user's organisation."""
    attention_after: int = 5
    """After so many unknown refusals in a row a mailbox needs an operator's attention."""
    circuit_mailboxes: int = 3
    """So many mailboxes that fail with no success between hold their organisation's, or the app's, calls."""
    circuit_window: int = 600
    """Faults and refusals that lie further apart than this have nothing to do with each other."""
    circuit_pause: int = 60
    """How long calls are held before one of them tries again; it doubles with each vain one."""
    circuit_cap: int = 900
    """The longest that calls are held before one of them tries again."""
    brake_count: int = 10
    """So many grants refused within `CIRCUIT_WINDOW` pull the brake: users are not told for now."""
    brake_share: float = 0.5
    """The brake is pulled only if that many are this share of all outcomes, or more."""
    brake_seconds: int = 3600
    """How long the brake holds; who is refused again after that is told."""
    rejection_interval: int = 300
    """How long after `report_rejected` forced a refresh the next report of that mailbox forces none."""
    grant_warning_days: int = 7
    """How many days before a grant ends `grant_ending` is sent; at most a third of the grant's life."""
    state_seconds: int = 600
    """How long a user may take at the provider to consent."""
    connect_starts_per_hour: float = 60
    """How often an hour one user may begin to connect a mailbox; all of them at once, if need be. 0: any number."""
    shared_mailboxes: str = "allow"
    """Whether a mailbox that another user holds may be connected: `allow`, each has a row and tokens apart; `refuse`."""
    verify_connect: str = ""
    """By which protocol a mailbox is opened before its new grant is saved: `imap`, `pop`, `smtp`; empty: by none."""
    notify: str = ""
    """Who is mailed of a mailbox that needs its user or their administrator: `users`, `operators`, `all`; empty: nobody."""
    notify_after: int = 600
    """For how long it must have needed somebody before: at least `CIRCUIT_WINDOW`, so that the brake comes first."""
    notify_recovery: bool = True
    """Whether a user who was mailed is mailed again when the mailbox works again without their doing."""
    notify_from: str = ""
    """The sender of these mails; empty: `DEFAULT_FROM_EMAIL`."""
    notify_mailer: str = ""
    """The alias in `MAILERS` (from Django 6.1 on) by which they are sent; empty: the site's default."""
    notify_operators: tuple[str, ...] = ()
    """The operators' addresses; empty: those in `ADMINS`."""
    notify_digest_seconds: int = 3600
    """The operators get one mail of all mailboxes, and none for so long after it, except of a mass event."""
    notify_mass_count: int = 100
    """So many users who are to be mailed are a mass event, of which the operators are mailed at once; 0: none ever is."""
    notify_mass_users: bool = True
    """Whether users are mailed during a mass event too, or the operators alone until it is over."""
    notify_address: str = ""
    """The dotted path of a function from a user to the address to mail; empty: that of the user model."""
    notify_language: str = ""
    """The dotted path of a function from a user to the code of their language; empty: `LANGUAGE_CODE`."""
    event_days: int = 90
    """For how many days `prune_events` keeps the history of mailboxes."""
    refresh_event_days: int = 7
    """For how many days the history keeps routine refreshes; 0: they are counted, but not written down."""
    count_days: int = 90
    """For how many days the counts of refreshes are kept."""
    reconnect_link_days: float = 7.0
    """For how many days the link works by which staff ask a user to reconnect a mailbox; 0: they cannot ask."""
    reveal_tokens: bool = False
    """Whether the admin shows tokens in clear to staff with a permission of its own, who must give a reason."""
    celery_queue: str = ""
    """The queue of this app's tasks; empty: the project's own default."""


_DOTTED_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_CHOICES: Mapping[str, type[StrEnum]] = {
    "REFRESH_POLICY": Policy,
    "SHARED_MAILBOXES": Sharing,
    "VERIFY_CONNECT": MailProtocol,
    "NOTIFY": Notified,
}

NAMES = {spec.name.upper(): spec for spec in fields(Settings)}


@lru_cache(maxsize=1)
@keeps_locals_in
def app_settings() -> Settings:
    """Return the settings in force. Raises `ConfigurationError` for an unknown name or a wrong type."""
    raw = getattr(django_settings, "MAIL_OAUTH", {})
    found = problems(raw)
    if found:
        raise ConfigurationError(found[0])
    return Settings(**{name.lower(): _frozen(name, value) for name, value in raw.items()})


@keeps_locals_in
def problems(raw: Any) -> list[str]:
    """Say in full sentences what is wrong with a `MAIL_OAUTH` dict."""
    if not isinstance(raw, Mapping):
        return ['MAIL_OAUTH must be a dict: MAIL_OAUTH = {"PROVIDERS": {…}}']
    return [
        text
        for name, value in raw.items()
        if (text := (_problem(name, value) if name in NAMES else _problem_of_name(name)))
    ]


def _problem_of_name(name: str) -> str:
    return f"MAIL_OAUTH has no setting {name!r}.{did_you_mean(name, NAMES)}"


def _problem(name: str, value: Any) -> str:
    default = getattr(Settings(), name.lower())
    if isinstance(default, bool):
        if not isinstance(value, bool):
            return f"MAIL_OAUTH[{name!r}] must be True or False."
    elif isinstance(default, (int, float)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            return f"MAIL_OAUTH[{name!r}] must be a number, zero or more: it is {value!r}."
    elif isinstance(default, str):
        return _problem_of_text(name, value)
    elif isinstance(default, Mapping) and not isinstance(value, Mapping):
        return f"MAIL_OAUTH[{name!r}] must be a dict."
    elif isinstance(default, tuple) and not (
        isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    ):
        return f"MAIL_OAUTH[{name!r}] must be a list of strings."
    return ""


def _problem_of_text(name: str, value: Any) -> str:
    if name == "KEYS":
        # What stands there may be a key: it is not shown.
        named = callable(value) or value == "" or (isinstance(value, str) and _DOTTED_PATH.fullmatch(value))
        return "" if named else "MAIL_OAUTH['KEYS'] must be a callable that returns keys, or its dotted path."
    if name == "KEYS_FILE" and isinstance(value, os.PathLike):
        return ""
    if not isinstance(value, str):
        return f"MAIL_OAUTH[{name!r}] must be a string."
    free = name not in _CHOICES or value == getattr(
        Settings(), name.lower()
    )  # one of them is off by an empty text
    return "" if free else _problem_of_choice(f"MAIL_OAUTH[{name!r}]", value, _CHOICES[name])


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a sentence with the known name that is nearest to `name`, whatever its case; empty where none is near."""
    by_case = {each.upper(): each for each in known}
    near = difflib.get_close_matches(str(name).upper(), by_case, n=1)
    return f" Did you mean {by_case[near[0]]!r}?" if near else ""


def policy_problem(where: str, value: Any) -> str:
    """Say what is wrong with a refresh policy that stands at `where`, with the line to write."""
    return _problem_of_choice(where, value, Policy)


def _problem_of_choice(where: str, value: Any, choices: type[StrEnum]) -> str:
    if value in list(choices):
        return ""
    near = difflib.get_close_matches(str(value).lower(), list(choices), n=1, cutoff=0.0)
    return f"{where} is one of {', '.join(choices)}, not {value!r}: write {where} = {str(near[0])!r}."


def _frozen(name: str, value: Any) -> Any:
    if name == "PROVIDERS":
        return {alias: _hidden(options) for alias, options in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(value) if isinstance(value, list) else value


_SECRET_OPTION = re.compile("SECRET|PASSWORD|PRIVATE_KEY|ASSERTION")


def _hidden(options: Any) -> Any:
    """Return a provider's options, of which those that are secret show themselves nowhere."""
    if not isinstance(options, Mapping):
        return options  # `provider_class` complains of it
    return {name: _secret(value) if _is_secret(name, value) else value for name, value in options.items()}


def _is_secret(name: object, value: Any) -> bool:
    """Tell by its name that an option is secret; or by what it holds: a certificate's key may be in a file, or written out."""
    if name == "SERVICE_ACCOUNT" and isinstance(value, Mapping):
        return True
    within = value if isinstance(value, (list, tuple)) else [value]
    return bool(_SECRET_OPTION.search(str(name))) or any("PRIVATE KEY" in str(each) for each in within)


def _secret(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Secret(json.dumps(dict(value), default=str))
    if isinstance(value, str):
        return Secret(value) if value else value  # that it is empty is no secret
    return tuple(map(_secret, value)) if isinstance(value, (list, tuple)) else value


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MAIL_OAUTH":
        app_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.conf")
