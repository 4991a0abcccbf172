"""What is true of one mailbox, derived from the wire and from what its people did: never from the app."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from tests.machine.watched import Post, WatchedProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A mailbox that can be: whose it is, and where."""

    owner: int
    alias: str
    personality: str
    strict: bool = True
    typed: bool = False
    """Its provider names nobody, so that the user types the address."""


SLOTS = (
    Slot(owner=0, alias="keycloak", personality="oidc"),
    Slot(owner=0, alias="microsoft", personality="microsoft"),
    Slot(owner=1, alias="lenient", personality="microsoft", strict=False),
    Slot(owner=1, alias="google", personality="google"),
    Slot(owner=1, alias="plain", personality="plain", typed=True),
)


@dataclass(kw_only=True)
class Mailbox:
    """A mailbox and its grant.

    `held` is the refresh token that the app must have: the last one that arrived, in a process that lived on.
    What was issued in a reply that was lost, or to a process that was killed before it could save, never
    arrived: the window that nobody can close.
    """

    slot: Slot
    pk: UUID
    email: str
    provider: WatchedProvider
    family: str = ""
    held: str = field(default="", repr=False)
    arrived: set[str] = field(default_factory=set, repr=False)
    connected: bool = True
    paused: bool = False
    raced: bool = False
    """A worker has outlived its lease; at a lenient provider any token that arrived is as good as the last."""
    losable: bool = False
    """The one copy of `held` was parked, and somebody flushed the cache."""
    refusals: int = 0
    """How often the grant was refused since it last worked, but for refusals that an unknown outcome excuses."""
    unknown: bool = False
    admin: bool = False
    posts: int = 0
    budget: int = 0
    """How many refreshes the step under way may ask for."""
    generation: int = 0

    def begin(self, family: str, refresh_token: str) -> None:
        """A person has consented: a new grant, of which nothing is known."""
        self.family, self.held, self.arrived = family, refresh_token, {refresh_token}
        self.connected, self.paused = True, False
        self.raced = self.losable = self.unknown = self.admin = False
        self.refusals = 0

    def absorb(self, posts: Iterable[Post], *, killed: bool = False) -> None:
        """Learn from refreshes of this grant, oldest first; who asked may have been `killed` with the reply."""
        for post in posts:
            if post.family != self.family:
                continue
            self.posts += 1
            self._learn(post, killed)

    def _learn(self, post: Post, killed: bool) -> None:
        assert self.raced or self.losable or post.spent == self.held, f"{self}: a token that was replaced is sent"
        if killed:
            self.unknown = True
        elif post.given is not None:
            self.held = post.given
            self.arrived.add(post.given)
            self.losable = False
        elif post.refuses_grant and not self.unknown:
            self.refusals += 1
        if post.status == 200 and not (post.fault or killed or self.raced):
            self.refusals, self.admin = 0, False
        self.admin = self.admin or 53003 in post.aadsts
        if not killed:
            self.unknown = post.leaves_unknown
        self.unknown = self.unknown and not self.raced  # what a worker without its lease learned is not saved

    @property
    def good(self) -> set[str]:
        """The refresh tokens of which the app must have one."""
        if self.raced and not self.slot.strict:
            living = {token for token in self.arrived if self.provider.is_current_refresh_token(token)}
            return living or self.arrived  # of a dead grant none is better than another
        return {self.held}

    @property
    def grant_lives(self) -> bool:
        """Whether the provider honours a token that the app should have."""
        return any(self.provider.is_current_refresh_token(token) for token in self.good)
