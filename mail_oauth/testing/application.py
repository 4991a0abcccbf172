"""From a request to an answer: finds the endpoint, lets faults strike, records the call. No sockets."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Final

import jwt

from mail_oauth.testing.consent import index_page
from mail_oauth.testing.keys import KeySet
from mail_oauth.testing.messages import Answer, Facts, Incoming, Reply, json_reply
from mail_oauth.testing.personalities import PERSONALITIES, Route, find_route, urls_of
from mail_oauth.testing.policy import Policy
from mail_oauth.testing.recorder import Call, Recorder
from mail_oauth.testing.rules import basic_credentials
from mail_oauth.testing.service import Service
from mail_oauth.testing.store import Store
from mail_oauth.testing.switchboard import Armed, Switchboard
from mail_oauth.testing.validator import Validator

SECRET_FIELDS: Final = (
    "access_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "id_token",
    "nonce",
    "refresh_token",
    "state",
    "token",
)


class Application:
    """Every personality's endpoints over one store."""

    def __init__(
        self,
        *,
        store: Store,
        policy: Callable[[], Policy],
        base_url: Callable[[], str],
        clock: Callable[[], float] = time.time,
        keep_secrets: bool = True,
    ) -> None:
        self.store = store
        self.keys = KeySet()
        self.faults = Switchboard()
        self.recorder = Recorder(keep_secrets=keep_secrets)
        self._base_url = base_url
        self._clock = clock
        rules = partial(Validator, store=store, keys=self.keys, policy=policy, base_url=base_url, clock=clock)
        self._services = {name: Service(rules(each), store) for name, each in PERSONALITIES.items()}

    def handle(self, incoming: Incoming) -> Answer:
        """The answer to ``incoming``, with its change to the store done and the call recorded."""
        route = find_route(incoming.path)
        if route is None:
            return Answer(reply=self._front(incoming))
        facts = self._facts(route, incoming)
        self.recorder.keep(_received(incoming))
        answer, struck = self._answer(route, incoming, self.faults.take(facts))
        self.recorder.keep(_sent(answer.reply))
        self._record(facts, answer, struck)
        return answer

    def serve(self, route: Route, incoming: Incoming) -> Reply:
        """The endpoint's true reply: no fault strikes and no call is recorded, but secrets are."""
        reply = self._services[route.personality.name].serve(route, incoming)
        self.recorder.keep(_sent(reply))
        return reply

    def _answer(self, route: Route, incoming: Incoming, armed: Armed | None) -> tuple[Answer, str | None]:
        """The answer, and the name of the fault that spoiled it."""
        if armed is None:
            return Answer(reply=self.serve(route, incoming)), None
        if not armed.fault.after_issue:
            return armed.fault.spoil(Reply()), armed.fault.name
        reply = self.serve(route, incoming)
        if not reply.is_success:
            self.faults.give_back(armed)
            return Answer(reply=reply), None
        return armed.fault.spoil(reply), armed.fault.name

    def _front(self, incoming: Incoming) -> Reply:
        if incoming.path == "/healthz":
            return json_reply({"status": "ok"})
        if incoming.path == "/":
            base = self._base_url()
            return index_page([(each.title, urls_of(each, base)) for each in PERSONALITIES.values()])
        return json_reply({"error": "not_found"}, 404)

    def _facts(self, route: Route, incoming: Incoming) -> Facts:
        form, basic = incoming.form, basic_credentials(incoming.headers)
        consenting = route.endpoint == "authorize" and incoming.method == "POST"
        return Facts(
            endpoint="consent" if consenting else route.endpoint,
            personality=route.personality.name,
            grant_type=form.get("grant_type"),
            client_id=basic[0] if basic else form.get("client_id") or incoming.parameters.get("client_id"),
            email=self._email(incoming),
        )

    def _email(self, incoming: Incoming) -> str | None:
        """Whose request this is, as far as its token or code tells."""
        if assertion := incoming.form.get("assertion"):
            return subject_of(assertion)
        form, bearer = incoming.form, incoming.headers.get("Authorization", "").partition("Bearer ")[2]
        token = form.get("refresh_token") or form.get("token") or ""
        with self.store.lock:
            found = self.store.refresh_token(token) or self.store.access_token(token or bearer)
            owned = found[1] if found else self.store.code(form.get("code", ""))
            account = self.store.accounts.get(owned.subject) if owned else None
        return account.email if account else form.get("account") or None

    def _record(self, facts: Facts, answer: Answer, fault: str | None) -> None:
        silent = answer.delivery.cut == "everything"
        error = answer.reply.json().get("error")
        self.recorder.note(
            Call(
                **asdict(facts),
                status=None if silent else answer.reply.status,
                error=error if isinstance(error, str) and not silent else None,
                fault=fault,
                at=self._clock(),
            )
        )


def subject_of(assertion: str) -> str | None:
    """For whom an assertion is, good or bad."""
    try:
        subject = jwt.decode(assertion, options={"verify_signature": False}).get("sub")
    except jwt.InvalidTokenError:
        return None
    return subject if isinstance(subject, str) else None


def _received(incoming: Incoming) -> Iterator[tuple[str, object]]:
    """The secrets in a request, with their fields; an HTTP Basic header counts in both its forms."""
    fields = {**incoming.parameters, **incoming.form}
    yield from ((name, fields.get(name)) for name in SECRET_FIELDS)
    yield "authorization", incoming.headers.get("Authorization", "").partition(" ")[2]
    if basic := basic_credentials(incoming.headers):
        yield "client_secret", basic[1]


def _sent(reply: Reply) -> Iterator[tuple[str, object]]:
    """The secrets in a reply: in its JSON, or in the query of a redirect."""
    location = dict(reply.headers).get("Location", "")
    fields = {**reply.json(), **Incoming(method="GET", path="", query=location.partition("?")[2]).parameters}
    yield from ((name, fields.get(name)) for name in SECRET_FIELDS)
