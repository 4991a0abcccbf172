"""Whatever a token endpoint answers to a refresh: the grant that is stored changes only by a fit reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from mail_oauth.encryption import Sealed
from mail_oauth.exceptions import MailboxError
from mail_oauth.managers.health import board
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import CredentialEvent, MailCredentials, ProviderFault, ProviderHealth
from mail_oauth.refresh.verdicts import judge
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import HttpReply
from tests.fuzz.cases import body_of, corpus, fuzz
from tests.fuzz.replies import Case, cases, fit, grants, read

pytestmark = pytest.mark.django_db

# What a refused refresh may write: when the next one is, and why.
OF_THE_SCHEDULE = frozenset(
    (
        "generation lease_owner refresh_at refresh_failures last_refresh_error outcome_unknown status status_reason "
        "status_changed_at last_used_at"
    ).split()
)


@dataclass
class Mailbox:
    """A mailbox whose token has expired, and the way back to that after each case."""

    provider: Any
    row: MailCredentials
    stored: dict[str, Any]

    def restore(self) -> None:
        MailCredentials.objects.filter(pk=self.row.pk).update(**self.stored)
        for model in (ProviderHealth, ProviderFault, CredentialEvent):
            model._default_manager.all().delete()
        board.forget()

    def columns(self) -> dict[str, Any]:
        return MailCredentials.objects.filter(pk=self.row.pk).values().get()

    def holds(self, case: Case) -> str:
        """Let a refresh be answered so, and look at the row."""
        case = replace(case, body=b"") if case.status == 204 else case  # by HTTP it has none
        self.restore()
        before = self.columns()
        sent = {"Content-Type": "application/json", **dict(case.headers)}
        self.provider.fail_next(1, Fault.raw(case.status, case.body, headers=sent), grant_type="refresh_token")
        said = ""
        try:
            token = MailCredentials.objects.get(pk=self.row.pk).refresh_now().reveal()
        except MailboxError as error:
            token = None
            said = f"{error!r}"
        assert "fuzz-" not in said
        assert not self.provider.pending_faults, "nobody asked"
        after = self.columns()
        changed = {name for name in after if after[name] != before[name]}
        stored = MailCredentials.objects.get(pk=self.row.pk)
        assert after["lease_owner"] == ""
        assert after["last_refresh_error"].isprintable()
        fields = read(case.body) or {}
        if grants(case):
            assert token == fields["access_token"] == stored.open_access_token().reveal()
            came = fields.get("refresh_token")
            assert ("refresh_token" in changed) == fit(came)
            assert stored.status == Status.CONNECTED
            return "granted"
        assert token is None
        rotated = judge(HttpReply(status=case.status, body=case.body, headers=dict(case.headers))).rotated
        allowed = OF_THE_SCHEDULE | ({"refresh_token", "last_refreshed_at"} if rotated else set())
        assert changed <= allowed, f"a refused reply has written {changed - allowed}"
        if rotated:
            assert stored.open_refresh_token() == rotated
        assert stored.refresh_at is not None or stored.status == Status.NEEDS_REAUTH
        return f"{stored.status}{' rotated' if rotated else ''}"


@pytest.fixture
def mailbox(connect, provider):
    row = connect("keycloak", seconds_left=-60)
    stored = MailCredentials.objects.filter(pk=row.pk).values().get()
    assert isinstance(stored["refresh_token"], Sealed)
    return Mailbox(provider, row, stored)


def test_any_reply_to_a_refresh(mailbox):
    fuzz("rows", cases(), mailbox.holds)


@pytest.mark.parametrize("case", corpus("verdicts"), ids=lambda case: case["name"])
def test_the_corpus(mailbox, case):
    headers = tuple(case.get("headers", {}).items())
    mailbox.holds(Case(case.get("status", 200), body_of(case), headers))
