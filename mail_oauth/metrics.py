"""What is measured, for whatever a site collects metrics with: OpenTelemetry's API, if it is installed.

Without the package `opentelemetry-api` nothing is imported, and an instrument costs one comparison. With it, but without
a site's `MeterProvider`, the API itself does nothing. An attribute's values are few: aliases, codes, and words of this
app; never a mailbox, an address or an organisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic
from typing import Any

_api: Any
try:
    _api = import_module("opentelemetry.metrics")
except ImportError:
    _api = None

METER = "mail_oauth"
"""The name of the meter."""

Observed = Iterable[tuple[float, Mapping[str, str]]]
"""Values, each with its attributes."""


def _meter() -> Any:
    return None if _api is None else _api.get_meter(METER)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """One thing that is measured, in `unit` (UCUM), told apart by `attributes`."""

    name: str
    unit: str
    attributes: tuple[str, ...]
    what: str
    kind: str = field(init=False, default="")
    _made: Any = field(init=False, repr=False, compare=False, default=None)

    def _make(self, kind: str, how: str) -> None:
        object.__setattr__(self, "kind", kind)
        meter = _meter()
        if meter is not None:
            made = getattr(meter, how)(self.name, unit=self.unit, description=self.what)
            object.__setattr__(self, "_made", made)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counter(Instrument):
    """Counts upwards."""

    def __post_init__(self) -> None:
        self._make("counter", "create_counter")

    def add(self, number: int = 1, **attributes: str) -> None:
        """Count so many more."""
        if self._made is not None:
            self._made.add(number, attributes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram(Instrument):
    """Takes down how long something took."""

    def __post_init__(self) -> None:
        self._make("histogram", "create_histogram")

    def record(self, value: float, **attributes: str) -> None:
        """Take down one value."""
        if self._made is not None:
            self._made.record(value, attributes)

    @contextmanager
    def timed(self, attributes: dict[str, str]) -> Iterator[None]:
        """Take down how long the block takes, whatever it raises; attributes may be added within."""
        begun = monotonic()
        try:
            yield
        finally:
            self.record(monotonic() - begun, **attributes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gauge(Instrument):
    """Says how many there are, whenever that was counted."""

    def __post_init__(self) -> None:
        self._make("gauge", "create_gauge")

    def set(self, value: float, **attributes: str) -> None:
        """Say it."""
        if self._made is not None:
            self._made.set(value, attributes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched(Instrument):
    """Is asked how many there are at each collection; until `watch` there are none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", "observable gauge")

    def watch(self, look: Callable[[], Observed]) -> None:
        """Have `look` asked from now on. It must be quick, and raise nothing."""
        if _api is None:
            return

        def callback(_: Any) -> Iterator[Any]:
            return (_api.Observation(value, dict(attributes)) for value, attributes in look())

        _meter().create_observable_gauge(self.name, [callback], unit=self.unit, description=self.what)


REFRESHES = Counter(
    name="mail_oauth.refreshes",
    unit="{call}",
    attributes=("provider", "outcome"),
    what="Calls for a refresh, by what became of them: granted, retry, reauth, admin, operator, bug, unknown.",
)
CALL_SECONDS = Histogram(
    name="mail_oauth.provider.call.duration",
    unit="s",
    attributes=("provider", "outcome"),
    what="How long calls of token endpoints take, those for a first token too; a call that broke is a fault.",
)
READS = Counter(
    name="mail_oauth.token.reads",
    unit="{read}",
    attributes=("source",),
    what="Tokens given out: from the cache, the row, or after a refresh. Those from the near copy are not counted.",
)
CLAIMS = Counter(
    name="mail_oauth.claims",
    unit="{mailbox}",
    attributes=("provider",),
    what="Due mailboxes that sweeps have claimed.",
)
SWEPT = Counter(
    name="mail_oauth.sweep.mailboxes",
    unit="{mailbox}",
    attributes=("fate",),
    what="Mailboxes of sweeps that ended, by their fate: refreshed, failed, lost, broken, revocations, unscheduled, "
    "held, given_back.",
)
SWEEP_SECONDS = Histogram(
    name="mail_oauth.sweep.duration",
    unit="s",
    attributes=("ended",),
    what="How long sweeps take, and why they end: done, time, stopped.",
)
STATUS_CHANGES = Counter(
    name="mail_oauth.status.changes",
    unit="{mailbox}",
    attributes=("provider", "old_status", "new_status"),
    what="Mailboxes whose status changed.",
)
CONNECTS = Counter(
    name="mail_oauth.connects",
    unit="{attempt}",
    attributes=("provider", "outcome"),
    what="Users who came back from a provider: connected, or the code by which that was refused.",
)
SIGN_INS = Counter(
    name="mail_oauth.mail.sign_ins",
    unit="{attempt}",
    attributes=("provider", "protocol", "outcome"),
    what="Sign-ins to mail servers: ok, or the reason why not.",
)
DRIFT = Counter(
    name="mail_oauth.reconcile.drift",
    unit="{copy}",
    attributes=("cause",),
    what="Cached copies that differed from their rows, by cause.",
)
RECONCILE_SECONDS = Histogram(
    name="mail_oauth.reconcile.duration",
    unit="s",
    attributes=(),
    what="How long reconciliations take.",
)
HELD_LANES = Watched(
    name="mail_oauth.lanes.held",
    unit="{lane}",
    attributes=("provider", "trouble"),
    what="Lanes that are held, as far as this process has met them in the last minutes: workers do at each sweep.",
)
MAILBOXES = Gauge(
    name="mail_oauth.mailboxes",
    unit="{mailbox}",
    attributes=("provider", "status"),
    what="Mailboxes, whenever they are counted for the dashboard.",
)
OVERDUE = Gauge(
    name="mail_oauth.mailboxes.overdue",
    unit="{mailbox}",
    attributes=("provider",),
    what="Mailboxes that should have been refreshed five minutes before they were counted.",
)

INSTRUMENTS: tuple[Instrument, ...] = (
    *(REFRESHES, CALL_SECONDS, READS, CLAIMS, SWEPT, SWEEP_SECONDS, STATUS_CHANGES, CONNECTS, SIGN_INS),
    *(DRIFT, RECONCILE_SECONDS, HELD_LANES, MAILBOXES, OVERDUE),
)
"""All of them."""
