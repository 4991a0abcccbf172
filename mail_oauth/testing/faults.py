"""Faults that the fake provider can be told to have: frozen values that say exactly what goes wrong, and when.

``after_issue`` is the question that matters most in a test of lost replies. False: the endpoint never runs,
so nothing changed at the provider. True: the endpoint runs and its change (a rotation, a revocation) stands,
and only then is the reply spoiled; such a fault waits for a request that succeeds.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from mail_oauth.testing.messages import PROMPT, Answer, Delivery, Facts, Reply, json_reply
from mail_oauth.testing.personalities import PERSONALITIES
from mail_oauth.testing.refusals import Aadsts, microsoft_error

Mutation = Callable[[dict[str, Any]], object]
ENDPOINTS: Final = frozenset({"consent", *(name for each in PERSONALITIES.values() for name in each.paths)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which requests a fault strikes; ``None`` means any.

    ``endpoint`` is a name as in `FakeProvider.urls`, or ``consent``. Raises `ValueError` for a name that does
    not exist: such a fault would never strike, and its test never fail.
    """

    endpoint: str | None = "token"
    personality: str | None = None
    grant_type: str | None = None
    email: str | None = None

    def __post_init__(self) -> None:
        if self.endpoint not in {None, *ENDPOINTS}:
            raise ValueError(f"There is no endpoint {self.endpoint!r}; there are {', '.join(sorted(ENDPOINTS))}.")
        if self.personality not in {None, *PERSONALITIES}:
            raise ValueError(f"There is no personality {self.personality!r}.")

    def covers(self, facts: Facts) -> bool:
        """Whether a request with these facts is struck."""
        wanted = (self.endpoint, self.personality, self.grant_type, self.email and self.email.lower())
        seen = (facts.endpoint, facts.personality, facts.grant_type, facts.email and facts.email.lower())
        return all(want is None or want == have for want, have in zip(wanted, seen, strict=True))


def _unchanged(reply: Reply) -> Reply:
    return reply


def _filler(_reply: Reply) -> Reply:
    return json_reply({"filler": "." * 1024})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail.

    ``transform`` makes the reply: from the true one when ``after_issue``, else from an empty 200.
    """

    name: str
    after_issue: bool = False
    transform: Callable[[Reply], Reply] = field(default=_unchanged, repr=False)
    delivery: Delivery = PROMPT

    def spoil(self, reply: Reply) -> Answer:
        """What is sent instead of ``reply``."""
        return Answer(reply=self.transform(reply), delivery=self.delivery)

    # --- replies instead of the endpoint's ---

    @classmethod
    def raw(
        cls,
        status: int = 200,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        name: str = "raw",
        after_issue: bool = False,
    ) -> "Fault":
        """Exactly this reply."""
        reply = Reply(status=status, headers=tuple((headers or {}).items()), body=body)
        return cls(name=name, after_issue=after_issue, transform=lambda _true: reply)

    @classmethod
    def oauth_error(
        cls,
        error: str,
        *,
        status: int = 400,
        aadsts: int | None = None,
        description: str = "The fake provider was told to refuse this.",
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        after_issue: bool = False,
    ) -> "Fault":
        """An OAuth error; with ``aadsts`` it has Microsoft's shape. Status 200 gives Zoho's kind of error."""
        body: dict[str, object] = {"error": error, "error_description": description}
        if aadsts is not None:
            body = microsoft_error(error, Aadsts(code=aadsts, text=description))
        reply = json_reply({**body, **(extra or {})}, status, tuple((headers or {}).items()))
        return cls(name=error, after_issue=after_issue, transform=lambda _true: reply)

    @classmethod
    def html(cls, status: int = 502, *, after_issue: bool = False) -> "Fault":
        """A gateway's HTML error page."""
        page = f"<html><head><title>{status}</title></head><body><h1>Bad gateway</h1></body></html>".encode()
        return cls.raw(
            status, page, headers={"Content-Type": "text/html"}, name=f"html_{status}", after_issue=after_issue
        )

    @classmethod
    def expired_secret(cls) -> "Fault":
        """Microsoft's answer to a client secret whose time is over."""
        return cls.oauth_error("invalid_client", status=401, aadsts=7000222, description="The secret is expired.")

    @classmethod
    def not_delegated(cls) -> "Fault":
        """Google's answer to a service account that no administrator has let into the domain."""
        words = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
        return cls.oauth_error("unauthorized_client", status=401, description=words)

    @classmethod
    def rate_limited(cls, retry_after: str | None = "30", *, status: int = 429) -> "Fault":
        """Too many requests; ``retry_after`` is sent as it is: seconds, an HTTP date or nonsense."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return cls.oauth_error("temporarily_unavailable", status=status, headers=headers)

    @classmethod
    def redirect(cls, location: str, *, status: int = 302) -> "Fault":
        """A redirect, which a token request must not follow."""
        return cls.raw(status, headers={"Location": location}, name="redirect")

    @classmethod
    def empty(cls, status: int = 200, *, after_issue: bool = False) -> "Fault":
        """No body at all."""
        return cls.raw(status, name="empty", after_issue=after_issue)

    @classmethod
    def json_value(cls, value: object, status: int = 200, *, after_issue: bool = False) -> "Fault":
        """Any JSON value: an array, a string, an object with wrong types."""
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json"}
        return cls.raw(status, body, headers=headers, name="json_value", after_issue=after_issue)

    @classmethod
    def deep_json(cls, depth: int = 100_000) -> "Fault":
        """Arrays within arrays: a parser that recurses runs out of stack."""
        return cls.raw(
            200, b"[" * depth + b"]" * depth, headers={"Content-Type": "application/json"}, name="deep_json"
        )

    @classmethod
    def gzip_bomb(cls, size: int = 64 * 1024 * 1024) -> "Fault":
        """A small gzip body that unpacks to ``size`` bytes."""
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return cls.raw(200, _gzip_bomb(size), headers=headers, name="gzip_bomb")

    @classmethod
    def huge_body(cls, size: int = 8 * 1024 * 1024) -> "Fault":
        """A well-formed token reply of ``size`` bytes."""
        body = json.dumps({"access_token": "A" * size, "token_type": "Bearer", "expires_in": 3600}).encode()
        return cls.raw(200, body, headers={"Content-Type": "application/json"}, name="huge_body")

    # --- the wire ---

    @classmethod
    def hang(cls, seconds: float = 30, *, after_issue: bool = False) -> "Fault":
        """The connection is accepted, then nothing is said for ``seconds``, then it is closed."""
        delivery = Delivery(hang_seconds=seconds, cut="everything")
        return cls(name="hang", after_issue=after_issue, delivery=delivery)

    @classmethod
    def slow(cls, seconds: float) -> "Fault":
        """The true reply, ``seconds`` late."""
        return cls(name="slow", after_issue=True, delivery=Delivery(hang_seconds=seconds))

    @classmethod
    def drip(
        cls, seconds: float = 1, *, part: Literal["headers", "body"] = "body", after_issue: bool = True
    ) -> "Fault":
        """A reply at one byte per ``seconds``, from its first byte or from its body on.

        It is the true one, or without ``after_issue`` a filler.
        """
        delivery = Delivery(drip_seconds=seconds, drip_from=part)
        transform = _unchanged if after_issue else _filler
        return cls(name=f"drip_{part}", after_issue=after_issue, transform=transform, delivery=delivery)

    @classmethod
    def close(cls, *, after_issue: bool = False) -> "Fault":
        """The connection is closed without a reply."""
        return cls(name="close", after_issue=after_issue, delivery=Delivery(cut="everything"))

    @classmethod
    def drop_after_rotation(cls) -> "Fault":
        """The refresh token is really rotated, then the connection is closed without a reply."""
        delivery = Delivery(cut="everything")
        return cls(name="drop_after_rotation", after_issue=True, delivery=delivery)

    @classmethod
    def cut_body(cls, *, after_issue: bool = True) -> "Fault":
        """A reply's headers and half of its body, then the connection is closed.

        It is the true one, or without ``after_issue`` a filler.
        """
        transform = _unchanged if after_issue else _filler
        delivery = Delivery(cut="mid_body")
        return cls(name="cut_body", after_issue=after_issue, transform=transform, delivery=delivery)

    # --- the true reply, altered ---

    @classmethod
    def mutate(cls, mutation: Mutation, *, name: str = "mutate") -> "Fault":
        """The true reply after ``mutation``, which gets a copy of its JSON object and returns what to send."""

        def transform(reply: Reply) -> Reply:
            return json_reply(mutation(dict(reply.json())), reply.status)

        return cls(name=name, after_issue=True, transform=transform)

    @classmethod
    def reply_without(cls, *fields: str) -> "Fault":
        """The true reply without these members."""
        return cls.mutate(
            lambda reply: {name: reply[name] for name in reply if name not in fields}, name="reply_without"
        )

    @classmethod
    def reply_with(cls, **fields: object) -> "Fault":
        """The true reply with these members added or replaced: ``expires_in="3599"``, ``token_type="mac"``."""
        return cls.mutate(lambda reply: {**reply, **fields}, name="reply_with")

    @classmethod
    def bom(cls) -> "Fault":
        """The true reply behind a UTF-8 byte order mark."""

        def transform(reply: Reply) -> Reply:
            return Reply(status=reply.status, headers=reply.headers, body=b"\xef\xbb\xbf" + reply.body)

        return cls(name="bom", after_issue=True, transform=transform)


@lru_cache(maxsize=4)
def _gzip_bomb(size: int) -> bytes:
    squeeze = zlib.compressobj(level=9, wbits=31)
    chunk = b" " * 65536
    parts = [squeeze.compress(chunk) for _ in range(size // len(chunk))]
    return b"".join([*parts, squeeze.flush()])
