"""A fake provider that tells which tokens it was sent and which of its own really left: the oracle's eyes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mail_oauth.testing.faults import Fault
from mail_oauth.testing.messages import Answer, Incoming
from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.records import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One refresh as it looked on the wire. `given` is the new refresh token, if one arrived at the app."""

    family: str
    spent: str = field(repr=False)
    given: str | None = field(repr=False)
    status: int | None
    error: str = ""
    aadsts: tuple[int, ...] = ()
    fault: str = ""

    @property
    def refuses_grant(self) -> bool:
        """Whether the provider said that the grant is dead. A detected loop arrives in the same words."""
        return self.error == "invalid_grant" and not {50196, 53003} & set(self.aadsts)

    @property
    def leaves_unknown(self) -> bool:
        """Whether nobody can know from it if the token was spent."""
        return self.status is None


class WatchedProvider(FakeProvider):
    """A `FakeProvider` with a list of `posts`, in which time can be made to pass."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.posts: list[Post] = []
        self._unwatched = self._application.handle
        self._application.handle = self._watch  # type: ignore[method-assign]

    def family_of(self, *, refresh_token: str = "", access_token: str = "") -> Family | None:
        """The grant that a token belongs to."""
        store = self._store
        found = store.refresh_token(refresh_token) if refresh_token else store.access_token(access_token)
        return found[1] if found else None

    def pass_time(self, seconds: float) -> None:
        """Let access tokens age."""
        with self._store.lock:
            aged = {key: replace(each, expires_at=each.expires_at - seconds) for key, each in self._tokens()}
            self._store.access_tokens = aged

    def forget_everything(self) -> None:
        """Between examples: no call, post or fault of the last one stays."""
        self.clear_faults()
        self.clear_calls()
        self.posts.clear()
        self._recorder._secrets.clear()

    def _tokens(self) -> Any:
        return self._store.access_tokens.items()

    def _watch(self, incoming: Incoming) -> Answer:
        form = incoming.form
        family = self.family_of(refresh_token=form.get("refresh_token", ""))
        answer = self._unwatched(incoming)
        if form.get("grant_type") == "refresh_token":
            self.posts.append(_post(form["refresh_token"], family, answer, self.calls[-1].fault))
        return answer


def _post(spent: str, family: Family | None, answer: Answer, fault: str | None) -> Post:
    name = family.id if family else ""
    if answer.delivery.cut != "nothing":
        return Post(family=name, spent=spent, given=None, status=None, fault=fault or "")
    fields = answer.reply.json()
    given, codes = fields.get("refresh_token"), fields.get("error_codes")
    return Post(
        family=name,
        spent=spent,
        given=given if answer.reply.status == 200 and isinstance(given, str) and given else None,
        status=answer.reply.status,
        error=str(fields.get("error", "")),
        aadsts=tuple(codes) if isinstance(codes, list) else (),
        fault=fault or "",
    )


def _as_error(reply: dict[str, Any]) -> dict[str, Any]:
    return {**reply, "error": "temporarily_unavailable"}


FAULTS: dict[str, Fault] = {
    "html_500": Fault.html(500),
    "html_502_after_rotation": Fault.html(502, after_issue=True),
    "rate_limited": Fault.rate_limited("120"),
    "close": Fault.close(),
    "drop_after_rotation": Fault.drop_after_rotation(),
    "cut_body": Fault.cut_body(),
    "invalid_grant": Fault.oauth_error("invalid_grant"),
    "invalid_client": Fault.oauth_error("invalid_client", status=401),
    "loop_detected": Fault.oauth_error("invalid_grant", aadsts=50196),
    "admin_must_act": Fault.oauth_error("invalid_grant", aadsts=53003),
    "no_refresh_token": Fault.reply_without("refresh_token"),
    "empty_refresh_token": Fault.reply_with(refresh_token=""),
    "rotated_in_a_200_without_access_token": Fault.reply_without("access_token"),
    "rotated_in_a_200_with_error": Fault.mutate(_as_error, name="as_error"),
    "rotated_in_a_200_of_another_kind": Fault.reply_with(token_type="mac"),
    "rotated_in_a_200_behind_a_bom": Fault.bom(),
    "narrower_scope": Fault.reply_with(scope="openid"),
    "negative_lifetime": Fault.reply_with(expires_in=-5),
}
"""What can go wrong with the next refresh. Those that lose a rotated token on the way are the provider's guilt."""
