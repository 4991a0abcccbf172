"""Visits of the callback: by whom, with what query, method and headers; and what each may bring about."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from mail_oauth.connect.attempts import Wish, begin, browser_binding
from mail_oauth.connect.refusals import REFUSALS
from mail_oauth.models import ConnectAttempt, CredentialEvent, MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.testing.provider import FakeProvider

ACCOUNT = "ada@example.com"
ALIASES = ("microsoft", "keycloak", "google", "plain")
MARK = "fuzz-mark"
"""A word that stands in no page, whatever the query says."""


@dataclass(frozen=True)
class Visit:
    """One request. `{state}` and its like in the query are filled in; `code` is "real" where it was just given."""

    alias: str = "microsoft"
    path: str = ""
    who: str = "owner"
    query: str = "state={state}&code={code}{iss}"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    code: str = "invented"


class Site:
    """A site with two users, each with a mailbox, and the provider that both came from."""

    def __init__(self, provider: FakeProvider, owner: User, other: User) -> None:
        self.provider, self.owner, self.other = provider, owner, other
        self.browsers = {"owner": self._signed_in(owner), "other": self._signed_in(other)}
        self.browsers |= {"elsewhere": self._signed_in(owner), "nobody": Client(), "garbage": Client()}
        self.browsers["garbage"].cookies["sessionid"] = "\x7f" + "x" * 200
        self._session, self._theirs = self.browsers["owner"].session, self.browsers["other"].session
        for session in (self._session, self._theirs):  # what ties consents to a browser is made once
            browser_binding(session)
            session.save()
        self._cookies = {
            who: client.cookies["sessionid"].value for who, client in self.browsers.items() if client.cookies
        }
        provider.add_account(ACCOUNT)

    def _signed_in(self, user: User) -> Client:
        client = Client(raise_request_exception=True)
        client.force_login(user)
        return client

    def begin(self, alias: str, user: User, session: Any) -> tuple[str, str]:
        """Begin a consent; its state, and where the browser is sent."""
        url = begin(
            provider_for(alias), user, session, f"http://testserver/mail/callback/{alias}/", self._wish(alias)
        ).reveal()
        return parse_qs(urlsplit(url).query)["state"][0], url

    def _wish(self, alias: str) -> Wish:
        return Wish(typed_email=ACCOUNT if alias == "plain" else "", next_url="/mail/")

    def words(self, visit: Visit) -> dict[str, str]:
        """What is filled into a query; a consent is begun only where one stands there."""
        session = self._session
        found = {"unknown": "A" * 64, "code": "invented-code", "iss": "", "mark": MARK}
        if "{state}" in visit.query:
            found["state"], url = self.begin(visit.alias, self.owner, session)
            if visit.code == "real":
                answer = parse_qs(urlsplit(self.provider.authorize(url, email=ACCOUNT)).query)
                found["code"] = quote(answer["code"][0])
                found["iss"] = f"&iss={quote(answer['iss'][0], safe='')}" if "iss" in answer else ""
        if "{foreign}" in visit.query:
            found["foreign"] = self.begin(visit.alias, self.other, self._theirs)[0]
        if "{elsewhere}" in visit.query:
            alias = next(alias for alias in ALIASES if alias != visit.alias)
            found["elsewhere"] = self.begin(alias, self.owner, session)[0]
        if "{expired}" in visit.query:
            found["expired"] = self.begin(visit.alias, self.owner, session)[0]
            past = timezone.now() - timedelta(seconds=1)
            ConnectAttempt.objects.filter(provider=visit.alias, user=self.owner).update(expires_at=past)
        return found

    def rows(self) -> list[tuple[Any, ...]]:
        """Every mailbox as its bytes stand in the table."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {MailCredentials._meta.db_table} ORDER BY id")
            return list(cursor.fetchall())

    def waiting(self) -> set[Any]:
        """The consents that stand there."""
        return set(ConnectAttempt.objects.values_list("pk", flat=True))

    def pay(self, visit: Visit) -> str:
        """Pay a visit, and check all that must be true afterwards; what became of it."""
        words = self.words(visit)
        query = re.sub(r"\{(\w+)\}", lambda match: words.get(match.group(1), match.group()), visit.query)
        before, calls = self.rows(), len(self.provider.token_calls())
        waiting = self.waiting() if len(words) > 4 else set()
        path = f"/mail/callback/{quote(visit.path or visit.alias, safe='')}/"
        client = self.browsers[visit.who]
        if visit.who in self._cookies:  # a visit with a cookie that is none has had it deleted
            client.cookies["sessionid"] = self._cookies[visit.who]
        reply = client.generic(visit.method, path, QUERY_STRING=query, **visit.headers)
        asked = len(self.provider.token_calls()) - calls
        outcome = self._outcome(reply)
        taken = waiting - self.waiting() if waiting else set()
        assert asked <= 1
        assert asked == 0 or taken, "a code was sent for a consent that still stands there"
        theirs = visit.who == "owner" or (visit.who == "other" and "{foreign}" in visit.query)
        assert not taken or (theirs and visit.method.upper() == "GET"), "somebody else has taken it"
        if outcome != "connected":
            assert self.rows() == before, "a refused callback has changed a mailbox"
        else:
            assert visit.code == "real"
            assert taken
            self._is_honest(before)
        if waiting:
            ConnectAttempt.objects.all().delete()
        return outcome

    def _outcome(self, reply: Any) -> str:
        assert MARK.encode() not in reply.content
        assert MARK not in str(reply.headers)
        if 400 <= reply.status_code < 500:
            return str(reply.status_code)
        assert reply.status_code == 302, reply.status_code
        where = reply["Location"]
        if where == "/mail/":
            return "connected"
        code = re.fullmatch(rf"/mail/refused/({'|'.join(ALIASES)})/(\w+)/", where)
        assert code, f"the browser was sent to {where!r}"
        assert code.group(2) in REFUSALS
        return f"refused/{code.group(2)}"

    def _is_honest(self, before: list[tuple[Any, ...]]) -> None:
        """What was connected is a row of the owner's for the account that consented; no other row has moved."""
        moved = [row for row in self.rows() if row not in before]
        assert len(moved) == 1
        row = MailCredentials.objects.get(pk=moved[0][0])
        assert (row.user, row.email) == (self.owner, ACCOUNT)
        CredentialEvent.objects.all().delete()
