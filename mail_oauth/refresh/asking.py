"""Asking a provider as a client that may have several secrets: where one is refused, the next is shown at once.

That is safe, because who is refused has spent nothing. A server authenticates the client before it looks at the grant:
RFC 6749 §4.1.3 and §6 have it authenticate the client, then ensure that code or refresh token were issued to that one,
then validate them; `invalid_client` (§5.2) says that it got no further. RFC 7009 §2.1 has the same order for
revocation. Of a code neither Microsoft nor Google says so in so many words, and §10.5 would let a server count the
refused try as its one use. Then the second try is refused, too, and the user has to consent anew, as without it; no
grant is risked, for a code that was never redeemed has none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.metrics import CALL_SECONDS
from mail_oauth.providers import Provider, provider_for
from mail_oauth.providers.client_secrets import ordinal
from mail_oauth.refresh.classification import Trouble
from mail_oauth.refresh.verdicts import Verdict, judge, judge_fault, without_user
from mail_oauth.tokens import HttpReply, Secret
from mail_oauth.transport import ClientAssertion, TokenEndpoint, deadline

if TYPE_CHECKING:
    from mail_oauth.refresh.ledger import Grant

logger = logging.getLogger(__name__)

FIRST_AGAIN_SECONDS = 3600.0
"""After so long one call begins with the preferred secret again, where another one is in use."""


class Answer(NamedTuple):
    """A reply, and what it means."""

    reply: HttpReply
    verdict: Verdict

    @property
    def refuses_client(self) -> bool:
        """Whether it is worth while, and safe, to show another secret: no refused client is given a token."""
        return self.verdict.trouble is Trouble.CLIENT and self.verdict.rotated is None


class _InUse(NamedTuple):
    """The secret, or assertion, that was accepted where the preferred one was not, and when that is tried again."""

    secret: ClientAssertion | Secret | None
    first_again_at: float


_in_use: WeakKeyDictionary[Provider, _InUse] = WeakKeyDictionary()
"""For this process. With changed settings come other providers, so that nothing is kept of secrets that are gone."""


def ask(provider: Provider, call: Callable[[TokenEndpoint], HttpReply]) -> Answer:
    """Make a call of a provider; where its client is refused, again with the next of its secrets.

    All of it within `TOTAL_TIMEOUT`, and so within one lease. Where every secret is refused, the answer to the
    preferred one is returned, as far as it could be read at all. Raises `TransportError` and `ConfigurationError`, as a single call does.
    """
    about = {"provider": provider.alias, "outcome": "fault"}
    with CALL_SECONDS.timed(about):
        answer = _asked(provider, call)
        about["outcome"] = answer.verdict.action.value
    return answer


def _asked(provider: Provider, call: Callable[[TokenEndpoint], HttpReply]) -> Answer:
    endpoints = provider.token_endpoint().by_each_secret()
    if len(endpoints) == 1:
        return _answer(provider, call(endpoints[0]))
    refused: dict[TokenEndpoint, Verdict] = {}
    answers: list[Answer] = []
    unreadable: list[ConfigurationError] = []
    with deadline(app_settings().total_timeout):
        for endpoint in _in_turn(provider, endpoints):
            try:
                answer = _answer(provider, call(endpoint))
            except ConfigurationError as error:  # its file is gone, or holds no key: another one may do
                unreadable.append(error)
                refused[endpoint] = judge_fault(error)
                continue
            if not answer.refuses_client:
                refused.pop(endpoint, None)
                _note_accepted(provider, endpoints, endpoint, refused)
                return answer
            _note_refused(provider, endpoint)
            refused[endpoint] = answer.verdict
            answers.insert(0 if endpoint is endpoints[0] else len(answers), answer)
    if not answers:
        raise unreadable[0]
    return answers[0]


def ask_for_app(grant: Grant, *, scope: str | None = None) -> Verdict:
    """Ask for a token that opens a mailbox without a user, for the app's own scope unless `scope` is given.

    A refresh token is none that anybody consented to (RFC 6749 §4.4.3): one that comes is left.
    """
    try:
        provider = provider_for(grant.provider)
        if not provider.is_app_only:
            raise ConfigurationError(f'MAIL_OAUTH["PROVIDERS"]["{grant.provider}"]: write "ACCESS": "app".')
        wanted = provider.app_scope if scope is None else scope
        said = ask(provider, lambda endpoint: provider.ask_for_app(endpoint, grant.email, wanted)).verdict
    except (TransportError, ConfigurationError) as error:
        return judge_fault(error)
    tokens = replace(said.tokens, refresh_token=None, refresh_token_expires_in=None) if said.tokens else None
    return replace(without_user(said), tokens=tokens, rotated=None)


def credentials_of(endpoints: tuple[TokenEndpoint, ...]) -> str:
    """Return what a client's several credentials are called."""
    asserted = [bool(endpoint.assertions) for endpoint in endpoints]
    return "certificates" if all(asserted) else "credentials" if any(asserted) else "secrets"


def _answer(provider: Provider, reply: HttpReply) -> Answer:
    return Answer(reply, judge(reply, family=provider.family))


def _in_turn(provider: Provider, endpoints: tuple[TokenEndpoint, ...]) -> list[TokenEndpoint]:
    """Return which to try one after the other.

    The one that began comes once more at the end: where the provider changes from one secret to another at a stroke,
    each may be refused in its turn.
    """
    turn, kept, now = list(endpoints), _in_use.get(provider), time.monotonic()
    if kept is not None and now < kept.first_again_at:
        turn.sort(key=lambda endpoint: endpoint.credential != kept.secret)  # which keeps the others' order
    elif kept is not None:
        _in_use[provider] = kept._replace(first_again_at=now + FIRST_AGAIN_SECONDS)  # this call tries it, no other
    return [*turn, turn[0]]


def _note_refused(provider: Provider, endpoint: TokenEndpoint) -> None:
    kept = _in_use.get(provider)
    if kept is not None and kept.secret == endpoint.credential:
        _in_use.pop(provider, None)


def _note_accepted(
    provider: Provider,
    endpoints: tuple[TokenEndpoint, ...],
    accepted: TokenEndpoint,
    refused: dict[TokenEndpoint, Verdict],
) -> None:
    """Remember which secret to begin with. Whatever is no refusal counts: a wrong guess costs one call, no grant."""
    if accepted is endpoints[0]:
        _in_use.pop(provider, None)
    elif refused:
        before = _in_use.get(provider)
        _in_use[provider] = _InUse(accepted.credential, time.monotonic() + FIRST_AGAIN_SECONDS)
        if before is None or before.secret != accepted.credential:
            _report(provider, endpoints, accepted, refused)


def _report(
    provider: Provider,
    endpoints: tuple[TokenEndpoint, ...],
    accepted: TokenEndpoint,
    refused: dict[TokenEndpoint, Verdict],
) -> None:
    """Log by their places that one secret stands in for others; once, until that changes."""
    told = ", ".join(
        f"the {ordinal(place)} ({refused[endpoint].reason})"
        for place, endpoint in enumerate(endpoints)
        if endpoint in refused
    )
    logger.warning(
        "provider %s: the %s of %d client %s is in use; refused: %s",
        provider.alias,
        ordinal(endpoints.index(accepted)),
        len(endpoints),
        credentials_of(endpoints),
        told,
        extra={"action": "client_secret", "provider": provider.alias, "outcome": "another_in_use"},
    )
