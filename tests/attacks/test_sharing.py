"""A mailbox that another user holds: each has a row apart, or the second is refused, as the site wants it."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from django.contrib.auth.models import User

from mail_oauth.connect import linking, sharing
from mail_oauth.connect.answers import parse_answer
from mail_oauth.connect.attempts import take
from mail_oauth.connect.complete import complete
from mail_oauth.exceptions import ConnectRefused
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import ConnectTurn, MailCredentials
from mail_oauth.tokens import Secret
from tests.concurrency import closing, together

pytestmark = pytest.mark.django_db


def refused(reply) -> str:
    return reply["Location"].split("/refused/")[1].split("/")[1] if "/refused/" in reply["Location"] else ""


def columns(**which) -> list[tuple]:
    return list(MailCredentials.objects.filter(**which).order_by("pk").values_list())


@pytest.fixture
def refusing(provider, settings):
    """The site lets one user alone hold a mailbox."""
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "refuse"}


class TestAllowed:
    """The default: many sites have mailboxes that several people look after."""

    @pytest.mark.parametrize("alias", ["microsoft", "google", "keycloak"])
    def test_nothing_of_the_first_is_touched(self, surfer, browser_of, other_user, alias):
        surfer.connect(alias)
        before = columns(user=surfer.user)
        assert refused(browser_of(other_user).connect(alias)) == ""
        assert columns(user=surfer.user) == before
        mine, theirs = MailCredentials.objects.get(user=surfer.user), MailCredentials.objects.get(user=other_user)
        assert mine.get_access_token() != theirs.get_access_token()
        assert not ConnectTurn.objects.exists(), "and it costs nothing"

    def test_disconnecting_one_leaves_the_other_its_grant(self, surfer, browser_of, other_user, provider):
        surfer.connect("google")
        browser_of(other_user).connect("google")
        row = MailCredentials.objects.get(user=other_user)
        browser_of(other_user).client.post(f"/mail/disconnect/{row.pk}/")
        assert MailCredentials.objects.get(user=surfer.user).refresh_now()


@pytest.mark.usefixtures("refusing")
class TestRefused:
    @pytest.mark.parametrize("alias", ["microsoft", "google", "keycloak"])
    def test_the_second_user_gets_nothing_and_the_first_keeps_all(self, surfer, browser_of, other_user, alias):
        surfer.connect(alias)
        before = columns()
        reply = browser_of(other_user).connect(alias)
        assert refused(reply) == "held_by_another"
        page = browser_of(other_user).client.get(reply["Location"])
        assert page.status_code == 200
        assert b"ada@example.com" not in page.content
        assert surfer.user.username.encode() not in page.content
        assert columns() == before

    def test_under_another_alias_neither(self, surfer, browser_of, other_user, settings):
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        second = {**providers["keycloak"], "NAME": "Again"}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "again": second}}
        surfer.connect("keycloak")
        assert refused(browser_of(other_user).connect("again")) == "held_by_another"

    def test_a_typed_address_is_no_way_around(self, surfer, browser_of, other_user):
        """Eve signs in as herself, and types whose mailbox she would like."""
        surfer.connect("keycloak", "ada@example.com")
        for typed in ("ada@example.com", "ADA@Example.com"):
            reply = browser_of(other_user).connect("keycloak", "eve@example.com", email=typed)
            assert refused(reply) == "held_by_another"

    def test_nor_is_a_name_of_the_own_account_under_another_address(self, surfer, browser_of, other_user):
        surfer.connect("keycloak", "ada@example.com")
        reply = browser_of(other_user).connect("keycloak", "ada@example.com", email="other@example.com")
        assert refused(reply) == "held_by_another"

    def test_typing_an_address_keeps_nobody_from_their_own(self, surfer, browser_of, other_user):
        """Squatting: whoever types first must not shut out whose address the provider vouches for."""
        browser_of(other_user).connect("keycloak", "eve@example.com", email="ada@example.com")
        assert refused(surfer.connect("keycloak", "ada@example.com")) == ""

    def test_where_nobody_is_named_the_address_counts(self, surfer, browser_of, other_user):
        surfer.connect("plain", "ada@example.com", email="box@example.com")
        reply = browser_of(other_user).connect("plain", "eve@example.com", email="Box@example.com")
        assert refused(reply) == "held_by_another"

    def test_other_accounts_are_other_mailboxes(self, surfer, browser_of, other_user):
        surfer.connect("keycloak", "ada@example.com")
        assert refused(browser_of(other_user).connect("keycloak", "eve@example.com")) == ""

    def test_ones_own_is_reconnected(self, surfer):
        surfer.connect("keycloak")
        assert refused(surfer.connect("keycloak")) == ""
        assert MailCredentials.objects.count() == 1

    def test_it_is_free_once_it_was_disconnected_and_then_gone(self, surfer, browser_of, other_user):
        surfer.connect("keycloak")
        mine = MailCredentials.objects.get()
        surfer.client.post(f"/mail/disconnect/{mine.pk}/")
        assert refused(browser_of(other_user).connect("keycloak")) == ""
        assert refused(surfer.connect("keycloak")) == "held_by_another"
        mine.refresh_from_db()
        assert (mine.status, mine.refresh_token) == (Status.DISCONNECTED, None)

    def test_replacing_is_no_way_around(self, surfer, browser_of, other_user):
        surfer.connect("keycloak", "ada@example.com")
        eve = browser_of(other_user)
        eve.connect("keycloak", "eve@example.com")
        row = MailCredentials.objects.get(user=other_user)
        before = columns()
        reply = eve.connect("keycloak", "ada@example.com", mailbox=str(row.pk), replace="yes")
        assert refused(reply) == "held_by_another"
        assert columns() == before

    def test_who_shared_it_before_may_go_on(self, surfer, browser_of, other_user, settings):
        """A site that changes its mind takes no mailbox away."""
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "allow"}
        surfer.connect("keycloak")
        browser_of(other_user).connect("keycloak")
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "refuse"}
        MailCredentials.objects.update(status=Status.NEEDS_REAUTH)
        assert refused(surfer.connect("keycloak")) == ""
        assert refused(browser_of(other_user).connect("keycloak")) == ""
        third = browser_of(User.objects.create_user("trudy"))
        assert refused(third.connect("keycloak")) == "held_by_another"

    def test_the_turns_stay_few(self, surfer):
        for number in range(6):
            surfer.connect("plain", "ada@example.com", email=f"box{number}@example.com")
        assert 1 <= ConnectTurn.objects.count() <= 12
        assert max(ConnectTurn.objects.values_list("number", flat=True)) < sharing.TURNS


def consented(browser, alias: str, account: str, **fields) -> tuple:
    """A consent that was taken, with its answer: what remains is to redeem and to save."""
    callback = browser.consent(browser.start(alias, **fields), account)
    answer = parse_answer(Secret(callback.partition("?")[2]))
    return take(answer.state, alias=alias, user=browser.user, session=browser.client.session), answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize(
    ("alias", "accounts", "typed"),
    [
        ("keycloak", ["ada@example.com"] * 2, [{}, {}]),
        (
            "plain",
            ["ada@example.com", "eve@example.com"],
            [{"email": "box@example.com"}, {"email": "Box@example.com"}],
        ),
        ("keycloak", ["bob@example.com", "eve@example.com"], [{"email": "ada@example.com"}] * 2),
    ],
    ids=["one account", "one address where nobody is named", "one typed address"],
)
def test_of_two_users_at_the_same_moment_one_gets_it(
    surfer, browser_of, other_user, separate_connections, monkeypatch, alias, accounts, typed
):
    """Both look before either has written: without a lock, neither sees the other."""
    browsers = [surfer, browser_of(other_user)]
    ready = [
        consented(*each, **fields) for *each, fields in zip(browsers, [alias] * 2, accounts, typed, strict=True)
    ]
    looked, looking = threading.Barrier(2), linking.is_held_by_another

    def look(*args):
        found = looking(*args)
        with suppress(threading.BrokenBarrierError):  # who is alone here waits in vain, and goes on
            looked.wait(timeout=0.5)
        return found

    monkeypatch.setattr(linking, "is_held_by_another", look)

    def finish():
        try:
            return complete(*ready.pop()).user_id
        except ConnectRefused as refusal:
            return refusal.code

    outcomes = together(2, finish)
    assert sorted(map(str, outcomes))[1] == "held_by_another"
    assert MailCredentials.objects.get().user_id in outcomes


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("refusing")
def test_many_users_at_once_wait_for_no_other_in_a_circle(browser_of, separate_connections, monkeypatch):
    """Each takes two turns, of which there are few, in one order: no deadlock, and everybody is served."""
    monkeypatch.setattr(sharing, "TURNS", 3)
    browsers = [browser_of(User.objects.create_user(f"many{number}")) for number in range(6)]
    ready = [
        consented(browser, "keycloak", f"many{number}@example.com", email=f"box{number}@example.com")
        for number, browser in enumerate(browsers)
    ]
    outcomes = together(6, lambda: closing(lambda: complete(*ready.pop()).email))
    assert sorted(outcomes) == [f"box{number}@example.com" for number in range(6)]
    assert ConnectTurn.objects.count() <= 3
