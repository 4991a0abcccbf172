"""What crosses the wire, as frozen values: the request, the reply, and how the reply is delivered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request. Its ``repr`` shows neither query, headers nor body: they carry secrets."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)

    @property
    def target(self) -> str:
        """Path and query, as they stood in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def form(self) -> dict[str, str]:
        """The body's form fields; the last of several wins."""
        return dict(parse_qsl(self.body, keep_blank_values=True))

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters; the last of several wins."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What faults and the record may know of a request: no token, code or secret.

    ``endpoint`` is a name as in `FakeProvider.urls`, or ``consent`` for the consent page's answer.
    """

    endpoint: str
    personality: str
    grant_type: str | None = None
    client_id: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply, complete but for ``Content-Length``, which the server adds."""

    status: int = 200
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the request did what it asked for."""
        return self.status < 400

    def json(self) -> dict[str, object]:
        """The body as a JSON object; an empty one when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a reply travels.

    ``hang_seconds`` of silence come first. With ``drip_seconds`` one byte is sent per that many seconds, of
    the whole reply or, from ``drip_from`` ``"body"`` on, of its body. ``cut`` closes the connection instead
    of sending anything, or in the middle of the body.
    """

    hang_seconds: float = 0
    drip_seconds: float = 0
    drip_from: Literal["headers", "body"] = "headers"
    cut: Literal["nothing", "everything", "mid_body"] = "nothing"


PROMPT = Delivery()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply and the way to deliver it."""

    reply: Reply
    delivery: Delivery = PROMPT


def json_reply(value: object, status: int = 200, headers: Headers = ()) -> Reply:
    """A reply with a JSON body that must not be stored (RFC 6749 section 5.1)."""
    fixed = (("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))
    return Reply(status=status, headers=(*fixed, *headers), body=json.dumps(value).encode())
