"""A client's secret is changed without a refresh that fails: one of several is right, and it is found."""

from __future__ import annotations

import itertools
import logging
import time

import pytest

from mail_oauth.exceptions import ProviderUnavailable, ReauthRequired
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials, ProviderFault, ProviderHealth
from mail_oauth.providers import provider_for
from mail_oauth.refresh import asking
from mail_oauth.refresh.asking import ask
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.sweep import refresh_batch
from tests.client_secrets.conftest import NEW, OLD, OTHER
from tests.concurrency import meanwhile, together
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db

ALIASES = ["microsoft", "google", "keycloak", "plain"]
REFUSED = "invalid_client"
REFUSAL = Fault.oauth_error(REFUSED, status=401)


@pytest.fixture
def due(connect):
    """`due(alias="keycloak")`: a mailbox whose token has ended."""
    return lambda alias="keycloak": connect(alias, seconds_left=-10)


def nobody_is_blamed() -> None:
    assert set(MailCredentials.objects.values_list("status", "refresh_failures", "last_refresh_error")) == {
        (Status.CONNECTED, 0, "")
    }
    assert not CredentialEvent.objects.exclude(kind=EventKind.REFRESHED).exists()
    assert not ProviderFault.objects.exists()
    assert not ProviderHealth.objects.filter(held=True).exists()


class TestWhereOneIsRefused:
    @pytest.mark.parametrize("how", ["post", "basic"])
    @pytest.mark.parametrize("alias", ALIASES)
    def test_the_next_is_tried_at_once_and_nobody_is_blamed(self, rotation, due, provider, alias, how):
        rotation.here(NEW, OLD, CLIENT_AUTH=how)
        mailbox = due(alias)
        rotation.there(OLD)
        token = mailbox.get_access_token()
        assert provider.is_valid_access_token(token.reveal(), mailbox.email)
        assert rotation.tries() == [REFUSED, None]
        nobody_is_blamed()

    @pytest.mark.parametrize("number", [7000215, 7000222])
    def test_microsoft_may_call_it_wrong_or_expired(self, rotation, due, provider, number):
        rotation.here(NEW, OLD)
        mailbox = due("microsoft")
        rotation.there(OLD)
        provider.fail_next(1, Fault.oauth_error(REFUSED, status=401, aadsts=number))
        assert mailbox.get_access_token()
        assert rotation.tries() == [REFUSED, None]

    def test_every_one_of_the_list_is_tried_and_each_once(self, rotation, due):
        rotation.here(OTHER, OTHER, NEW, OTHER, OLD)
        mailbox = due()
        rotation.there(OLD)
        assert mailbox.get_access_token()
        assert rotation.tries() == [REFUSED, REFUSED, None]

    def test_a_public_client_sends_none_and_asks_once(self, rotation, due, provider):
        rotation.here(NEW, OLD, CLIENT_AUTH="none")
        mailbox = due()
        provider.clear_calls()
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert len(rotation.tries()) == 1

    def test_a_provider_that_changes_between_two_tries_is_asked_once_more(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        mailbox = due()
        rotation.there(OLD)
        change = lambda: provider.add_client(provider.client_id, NEW)  # noqa: E731
        provider.fail_next(1, meanwhile(change, REFUSAL))
        assert mailbox.get_access_token()
        assert rotation.tries() == [REFUSED, REFUSED, None]
        nobody_is_blamed()

    def test_all_tries_share_one_deadline(self, rotation, due, provider, settings):
        """Either of the two alone would be in time."""
        rotation.here(NEW, OLD)
        mailbox = due()
        rotation.there(OLD)
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "TOTAL_TIMEOUT": 2}
        provider.fail_next(1, meanwhile(lambda: time.sleep(1.2), REFUSAL))
        provider.fail_next(1, Fault.slow(1.2))
        with pytest.raises(ProviderUnavailable) as raised:
            mailbox.get_access_token()
        assert raised.value.reason in {"timeout", "connect_timeout"}
        assert stored(mailbox).status == Status.CONNECTED


class TestWhatIsNoRefusalOfTheClient:
    """No other secret is tried: it would be of no use, and might spend the token twice."""

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.oauth_error("unauthorized_client"),
            Fault.oauth_error("invalid_scope"),
            Fault.rate_limited("30"),
            Fault.html(502),
            Fault.close(),
            Fault.drop_after_rotation(),
        ],
        ids=lambda fault: fault.name,
    )
    def test_costs_one_call(self, rotation, due, provider, fault):
        rotation.here(NEW, OLD)
        mailbox = due()
        rotation.there(NEW)
        with provider.fault(fault), pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert len(rotation.tries()) == 1

    def test_a_refused_grant_is_the_users_turn_at_once(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        mailbox = due()
        rotation.there(NEW)
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.get_access_token()
        assert rotation.tries() == ["invalid_grant"]

    def test_a_refusal_that_brings_a_new_refresh_token_has_spent_the_old_one(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        mailbox = due()
        rotation.there(NEW)
        with provider.fault(Fault.reply_with(error=REFUSED)), pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert len(rotation.tries()) == 1
        assert provider.is_current_refresh_token(stored(mailbox).open_refresh_token().reveal())


class TestTheOneThatWorked:
    def test_is_begun_with_from_then_on(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        first, *others = [due() for _ in range(4)]
        rotation.there(OLD)
        first.get_access_token()
        provider.clear_calls()
        for mailbox in others:
            mailbox.get_access_token()
        assert rotation.tries() == [None] * 3

    def test_is_that_of_its_alias_alone(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        here, elsewhere = due("keycloak"), due("plain")
        rotation.there(OLD)
        here.get_access_token()
        provider.clear_calls()
        elsewhere.get_access_token()
        assert rotation.tries() == [REFUSED, None]

    def test_gives_way_to_the_first_when_it_is_refused(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        mailboxes = [due() for _ in range(3)]
        rotation.there(OLD)
        mailboxes[0].get_access_token()
        rotation.there(NEW)
        mailboxes[1].get_access_token()
        assert rotation.tries() == [REFUSED, None]
        provider.clear_calls()
        mailboxes[2].get_access_token()
        assert rotation.tries() == [None]

    def test_gives_way_to_the_first_from_time_to_time(self, rotation, due, monkeypatch):
        """So that what was put right at the provider, or came into force there, is found."""
        rotation.here(NEW, OLD)
        mailboxes = [due() for _ in range(3)]
        rotation.there(OLD)
        monkeypatch.setattr(asking, "FIRST_AGAIN_SECONDS", 0.0)
        for mailbox in mailboxes[:2]:
            mailbox.get_access_token()
        assert rotation.tries() == [REFUSED, None, REFUSED, None]
        rotation.there(NEW)
        mailboxes[2].get_access_token()
        assert rotation.tries() == [None]

    def test_is_left_to_one_call_to_find_out(self, rotation, due, provider, monkeypatch):
        """Whoever asks while that call is under way begins with the one that worked."""
        rotation.here(NEW, OLD)
        mailboxes = [due(), due()]
        rotation.there(OLD)
        monkeypatch.setattr(asking, "FIRST_AGAIN_SECONDS", 0.0)
        mailboxes[0].get_access_token()
        monkeypatch.setattr(asking, "FIRST_AGAIN_SECONDS", 3600.0)
        provider.clear_calls()
        work = provider_for("keycloak")
        beside = meanwhile(lambda: ask(work, lambda endpoint: endpoint.refresh(Secret("x"))), REFUSAL)
        provider.fail_next(1, beside)
        mailboxes[1].get_access_token()
        assert rotation.tries() == ["invalid_grant", REFUSED, None]

    def test_is_forgotten_when_it_is_refused(self, rotation, due):
        rotation.here(NEW, OLD)
        mailboxes = [due(), due()]
        rotation.there(OLD)
        mailboxes[0].get_access_token()
        rotation.there(OTHER)
        with pytest.raises(ProviderUnavailable):
            mailboxes[1].get_access_token()
        rotation.there(NEW)
        assert mailboxes[1].refresh_now()
        assert rotation.tries() == [None]

    def test_is_forgotten_with_the_settings(self, rotation, due):
        rotation.here(NEW, OLD)
        mailboxes = [due(), due()]
        rotation.there(OLD)
        mailboxes[0].get_access_token()
        rotation.here(OTHER, OLD)
        rotation.there(OLD)
        mailboxes[1].get_access_token()
        assert rotation.tries() == [REFUSED, None]


class TestWhereAllAreRefused:
    def test_it_is_the_apps_trouble_and_no_mailboxs(self, rotation, due):
        rotation.here(NEW, OLD)
        mailbox, another = due("microsoft"), due("microsoft")
        rotation.there(OTHER)
        for each in (mailbox, another):
            with pytest.raises(ProviderUnavailable, match="AADSTS7000215"):
                each.get_access_token()
        assert rotation.tries() == [REFUSED] * 3, "the second mailbox is not worth another call"
        assert ProviderHealth.objects.get(held=True).trouble == "client"
        assert MailCredentials.objects.healthy().count() == 2
        rotation.there(OLD)
        assert mailbox.refresh_now(), "a refused client has spent no refresh token"

    @pytest.mark.parametrize("in_use", [NEW, OLD], ids=["new", "old"])
    def test_what_is_said_of_the_first_stands(self, rotation, due, provider, in_use):
        """Whichever of them the tries began with."""
        rotation.here(NEW, OLD)
        mailboxes = [due("microsoft"), due("microsoft")]
        rotation.there(in_use)
        mailboxes[0].get_access_token()
        of_new, of_old = (Fault.oauth_error(REFUSED, status=401, aadsts=number) for number in (7000222, 7000215))
        for fault in (of_new, of_old, of_new) if in_use == NEW else (of_old, of_new, of_old):
            provider.fail_next(1, fault)
        with pytest.raises(ProviderUnavailable) as raised:
            mailboxes[1].get_access_token()
        assert raised.value.reason == "AADSTS7000222"
        assert provider.pending_faults == []


class TestAnyOrderOfOldAndNew:
    """Whoever changes what first, here or there: no mailbox notices while one of the list is right."""

    @pytest.mark.parametrize(
        "places",
        [(0, 1), (1, 0), *itertools.permutations((0, 1, 2))],
        ids=lambda places: "".join(map(str, places)),
    )
    def test_no_mailbox_is_demoted(self, rotation, due, places):
        known = (OLD, NEW, OTHER)
        rotation.here(*(known[place] for place in places))
        mailbox = due()
        for there in itertools.product((OLD, NEW), repeat=3):
            for secret in there:
                rotation.there(secret)
                assert mailbox.refresh_now()
        nobody_is_blamed()

    @pytest.mark.parametrize("before", [(OLD,), (OLD, NEW), (NEW, OLD)], ids=["old", "old new", "new old"])
    @pytest.mark.parametrize("after", [(NEW,), (NEW, OLD), (OLD, NEW)], ids=["new", "new old", "old new"])
    def test_nor_while_the_settings_change_as_well(self, rotation, due, before, after):
        """Each deployment has the secret in force on its list; between them the provider changes, if both have both."""
        mailbox = due()
        for there in (OLD, NEW):
            for here in (before, after):
                if there in here:
                    rotation.here(*here)
                    rotation.there(there)
                    assert mailbox.refresh_now()
        nobody_is_blamed()


class TestWhileCallsAreInFlight:
    def test_a_sweep_goes_on(self, rotation, due, provider):
        rotation.here(NEW, OLD)
        for _ in range(8):
            due()
        rotation.there(OLD)
        provider.fail_next(1, meanwhile(lambda: provider.add_client(provider.client_id, NEW)))
        report = refresh_batch(revoke=lambda _: None, threads=0)
        assert (report.refreshed, report.failed, report.held) == (8, 0, 0)
        assert provider.pending_faults == []
        nobody_is_blamed()

    def test_a_sweep_of_many_threads_goes_on(self, separate_connections, rotation, due, provider):
        rotation.here(NEW, OLD)
        for _ in range(24):
            due()
        rotation.there(OLD)
        provider.fail_next(1, meanwhile(lambda: provider.add_client(provider.client_id, NEW)))
        report = refresh_batch(revoke=lambda _: None, threads=8)
        assert (report.refreshed, report.failed, report.held) == (24, 0, 0)
        assert provider.pending_faults == []
        nobody_is_blamed()

    @pytest.mark.parametrize("order", [(NEW, OLD), (OLD, NEW)], ids=["new first", "old first"])
    def test_threads_that_share_what_is_known_all_get_tokens(self, rotation, provider, order):
        """In each round all ask some times over, and in the midst of it the provider changes once."""
        rotation.here(*order)
        work = provider_for("keycloak")
        rotation.there(OLD)

        def tokens(number: int) -> Secret:
            email = f"thread{number}@example.com"
            scope = "openid email offline_access mail"
            return parse_tokens(provider.grant(email, personality="oidc", scope=scope)).refresh_token

        held = [tokens(number) for number in range(7)]
        for there in (NEW, OLD, NEW, OLD, NEW):
            seats = itertools.count()

            def part(seats=seats, there=there) -> list[Action]:
                seat = next(seats)
                if seat == len(held):
                    rotation.there(there)
                    return []
                actions = []
                for _ in range(3):
                    verdict = ask(work, lambda endpoint: endpoint.refresh(held[seat])).verdict
                    actions.append(verdict.action)
                    held[seat] = verdict.tokens.refresh_token if verdict.tokens else held[seat]
                return actions

            actions = [action for each in together(len(held) + 1, part) for action in each]
            assert actions == [Action.GRANTED] * 21


class TestNoSecretIsShown:
    def test_in_logs_which_name_it_by_its_place(self, rotation, due, caplog):
        caplog.set_level(logging.DEBUG)
        rotation.here(NEW, OLD)
        mailboxes = [due("microsoft") for _ in range(3)]
        rotation.there(OLD)
        for mailbox in mailboxes[:2]:
            mailbox.get_access_token()
        rotation.there(OTHER)
        with pytest.raises(ProviderUnavailable):
            mailboxes[2].get_access_token()
        said = "provider microsoft: the second of 2 client secrets is in use; refused: the first (AADSTS7000215)"
        assert [record.getMessage() for record in caplog.records].count(said) == 1
        shown = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
        assert not [secret for secret in (OLD, NEW, OTHER) if secret in shown]

    def test_in_what_values_show_of_themselves(self, rotation, settings):
        rotation.here(NEW, OLD)
        work = provider_for("google")
        endpoint = work.token_endpoint()
        shown = f"{work!r} {vars(work)!r} {endpoint!r} {endpoint.by_each_secret()!r} {dict(asking._in_use)!r}"
        assert not [secret for secret in (OLD, NEW) if secret in shown]
