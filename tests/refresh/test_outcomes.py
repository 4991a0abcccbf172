"""What a refresh makes of each answer: nothing is lost, nobody is bothered without need, everything is told."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth import signals
from mail_oauth.cache import token_cache
from mail_oauth.exceptions import (
    AdminRequired,
    CredentialsUnreadable,
    MailboxDisconnected,
    ProviderUnavailable,
    ReauthRequired,
)
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials, ProviderHealth
from mail_oauth.testing.faults import Fault
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db

PASSING = {
    "gateway": Fault.html(502),
    "maintenance": Fault.html(503),
    "throttled": Fault.rate_limited("30"),
    "empty": Fault.empty(),
    "array": Fault.json_value([1]),
    "string": Fault.json_value("text"),
    "deep": Fault.deep_json(),
    "closed": Fault.close(),
    "unknown error": Fault.oauth_error("never_heard_of_it"),
    "error in a 200": Fault.oauth_error("temporarily_unavailable", status=200),
    "no access token": Fault.reply_without("access_token"),
    "odd token type": Fault.reply_with(token_type="mac"),
    "line break in the token": Fault.reply_with(access_token="a\r\nb"),
    "byte order mark": Fault.bom(),
}
OPERATORS = {
    "bad secret": Fault.oauth_error("invalid_client", status=401, aadsts=7000215),
    "expired secret": Fault.oauth_error("invalid_client", status=401, aadsts=7000222),
    "no such app": Fault.oauth_error("unauthorized_client", aadsts=700016),
    "scope": Fault.oauth_error("invalid_scope", aadsts=70011),
    "our bug": Fault.oauth_error("invalid_request"),
    "redirect": Fault.redirect("https://evil.example/token"),
    "odd redirect": Fault.redirect("http://["),
}


@pytest.fixture
def mailbox(connect) -> MailCredentials:
    """A mailbox whose token has expired."""
    return connect(seconds_left=-10)


def kinds(mailbox: MailCredentials) -> list[str]:
    return [event.kind for event in mailbox.events.order_by("pk")]


class TestAPassingFault:
    @pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
    def test_keeps_the_grant_and_is_tried_later(self, mailbox, provider, fault):
        provider.fail_next(1, fault)
        with pytest.raises(ProviderUnavailable) as raised:
            mailbox.get_access_token()
        row = stored(mailbox)
        assert row.status == Status.CONNECTED
        assert row.refresh_failures == 1
        assert row.lease_owner == ""
        assert row.last_refresh_error == raised.value.reason != ""
        assert row.refresh_at > timezone.now()
        assert raised.value.retry_after == pytest.approx((row.refresh_at - timezone.now()).total_seconds(), abs=5)
        assert kinds(mailbox) == [EventKind.REFRESH_FAILED]
        ProviderHealth.objects.update(held=False)  # the pause that a throttle asks for is over
        assert mailbox.refresh_now(), "and the grant has survived it"

    def test_makes_callers_wait_no_longer_and_call_nobody(self, mailbox, provider, posts):
        provider.fail_next(1, Fault.html())
        for _ in range(3):
            with pytest.raises(ProviderUnavailable, match="it is tried again in"):
                mailbox.get_access_token()
        assert posts(mailbox) == 1

    def test_leaves_a_token_that_is_still_valid_in_use(self, connect, provider, posts):
        mailbox = connect(seconds_left=200)
        token = mailbox.get_access_token()
        provider.fail_next(1, Fault.html())
        with pytest.raises(ProviderUnavailable):
            mailbox.refresh_now()
        assert mailbox.get_access_token() == token
        token_cache.forget(mailbox.pk)
        assert mailbox.get_access_token() == token
        assert posts(mailbox) == 1

    def test_is_forgotten_with_the_next_success(self, mailbox, provider):
        provider.fail_next(1, Fault.html())
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        mailbox.refresh_now()
        row = stored(mailbox)
        assert (row.refresh_failures, row.last_refresh_error, row.outcome_unknown) == (0, "", False)
        assert kinds(mailbox) == [EventKind.REFRESH_FAILED, EventKind.RECOVERED]

    def test_pauses_grow(self, mailbox, provider):
        pauses = []
        with provider.fault(Fault.html()):
            for _ in range(6):
                with pytest.raises(ProviderUnavailable) as raised:
                    mailbox.refresh_now()
                pauses.append(raised.value.retry_after)
        assert pauses[0] <= 30 < pauses[2] < pauses[5] <= 3600

    def test_honours_retry_after_within_bounds(self, mailbox, provider):
        provider.fail_next(1, Fault.rate_limited("900"))
        with pytest.raises(ProviderUnavailable) as raised:
            mailbox.get_access_token()
        assert 895 < raised.value.retry_after < 910
        provider.fail_next(1, Fault.rate_limited(str(10 * 365 * 86400)))
        with pytest.raises(ProviderUnavailable) as raised:
            mailbox.refresh_now()
        assert raised.value.retry_after < 7 * 3600


class TestARotatedRefreshTokenIsKept:
    @pytest.mark.parametrize(
        "fault",
        [
            Fault.reply_without("access_token"),
            Fault.reply_with(access_token=""),
            Fault.reply_with(token_type="DPoP"),
            Fault.reply_with(access_token="a\x01b"),
            Fault.reply_with(error="server_error"),
            Fault.reply_with(error="invalid_grant"),
            Fault.bom(),
        ],
        ids=lambda fault: fault.name,
    )
    def test_whatever_else_is_refused(self, connect, provider, fault):
        mailbox = connect("keycloak", seconds_left=-10)
        provider.fail_next(1, fault)
        with pytest.raises((ProviderUnavailable, ReauthRequired)):
            mailbox.get_access_token()
        assert stored(mailbox).open_refresh_token().reveal() == provider.newest_refresh_token(
            mailbox.email, "oidc"
        )

    @pytest.mark.parametrize("odd", [None, "", 5, "a\nb", ["x"]], ids=repr)
    def test_and_an_unfit_one_does_not_replace_the_old(self, connect, provider, odd):
        mailbox = connect("google", seconds_left=-10)
        provider.fail_next(1, Fault.reply_with(refresh_token=odd))
        mailbox.get_access_token()
        assert stored(mailbox).open_refresh_token() == mailbox.open_refresh_token()


class TestAnAnswerThatIsLost:
    def test_is_tried_once_more_before_the_user_is_asked(self, mailbox, provider, posts):
        provider.configure(detect_reuse=False)
        provider.fail_next(1, Fault.drop_after_rotation())
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert stored(mailbox).outcome_unknown
        with pytest.raises(ProviderUnavailable) as raised:
            mailbox.refresh_now()
        assert raised.value.reason.endswith("_after_unknown")
        assert stored(mailbox).status == Status.CONNECTED
        with pytest.raises(ReauthRequired):
            mailbox.refresh_now()
        assert posts(mailbox) == 3

    def test_costs_nothing_where_the_old_token_still_works(self, mailbox, provider):
        provider.configure(rotate=False)
        provider.fail_next(1, Fault.cut_body())
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert mailbox.refresh_now()
        assert not stored(mailbox).outcome_unknown

    @pytest.mark.parametrize(
        ("fault", "unknown"),
        [
            (Fault.close(), True),
            (Fault.cut_body(), True),
            (Fault.empty(), True),
            (Fault.html(504), True),
            (Fault.raw(200, b"<html>"), True),
            (Fault.rate_limited(), False),
            (Fault.oauth_error("temporarily_unavailable", status=503), False),
            (Fault.html(404), False),
        ],
        ids=lambda value: getattr(value, "name", value),
    )
    def test_is_told_from_one_that_was_no(self, mailbox, provider, fault, unknown):
        provider.fail_next(1, fault)
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert stored(mailbox).outcome_unknown is unknown


class TestAGrantThatIsDead:
    def test_is_the_users_turn_and_calls_stop(self, mailbox, provider, posts):
        provider.revoke(mailbox.email)
        for act in (mailbox.get_access_token, mailbox.get_access_token, mailbox.refresh_now):
            with pytest.raises(ReauthRequired, match="reconnected by its user"):
                act()
        assert posts(mailbox) == 1
        row = stored(mailbox)
        assert (row.status, row.refresh_at, row.lease_owner) == (Status.NEEDS_REAUTH, None, "")
        assert row.open_refresh_token() == mailbox.open_refresh_token(), "the token is not deleted"
        assert kinds(mailbox) == [EventKind.NEEDS_REAUTH]

    def test_is_not_served_from_the_cache(self, connect, provider):
        mailbox = connect(seconds_left=200)
        mailbox.get_access_token()
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.refresh_now()
        with pytest.raises(ReauthRequired):
            MailCredentials.objects.get_access_token(mailbox.pk)

    def test_without_a_refresh_token_nobody_is_called(self, connect, posts):
        mailbox = connect(seconds_left=-10, refresh_token=None)
        with pytest.raises(ReauthRequired, match="no_refresh_token"):
            mailbox.get_access_token()
        assert posts(mailbox) == 0

    def test_a_loop_that_arrives_as_invalid_grant_is_a_pause(self, mailbox, provider, posts):
        provider.fail_next(1, Fault.oauth_error("invalid_grant", aadsts=50196))
        for _ in range(2):
            with pytest.raises(ProviderUnavailable) as raised:
                mailbox.get_access_token()
            assert raised.value.retry_after >= 300
        assert stored(mailbox).status == Status.CONNECTED
        assert posts(mailbox) == 1


class TestAnAdministratorsTurn:
    def test_is_told_and_tried_again_slowly(self, mailbox, provider):
        provider.fail_next(1, Fault.oauth_error("invalid_grant", aadsts=53003))
        with pytest.raises(AdminRequired, match="AADSTS53003"):
            mailbox.get_access_token()
        row = stored(mailbox)
        assert (row.status, row.status_reason) == (Status.NEEDS_ADMIN, "AADSTS53003")
        assert row.refresh_at > timezone.now() + timedelta(hours=1)

    def test_ends_with_the_next_success(self, mailbox, provider, heard):
        provider.fail_next(1, Fault.oauth_error("invalid_grant", aadsts=53003))
        with pytest.raises(AdminRequired):
            mailbox.get_access_token()
        assert mailbox.refresh_now() == mailbox.get_access_token()
        assert stored(mailbox).status_reason == ""
        assert kinds(mailbox) == [EventKind.NEEDS_ADMIN, EventKind.RECOVERED]
        assert heard == [
            ("mailbox_status_changed", "needs_admin"),
            ("token_refreshed", ""),
            ("mailbox_status_changed", "connected"),
        ]


class TestAnOperatorsFault:
    @pytest.mark.parametrize("fault", OPERATORS.values(), ids=OPERATORS)
    def test_demotes_no_mailbox(self, connect, provider, fault):
        mailboxes = [connect(seconds_left=-10) for _ in range(3)]
        with provider.fault(fault):
            for mailbox in mailboxes:
                with pytest.raises(ProviderUnavailable):
                    mailbox.get_access_token()
        assert MailCredentials.objects.healthy().count() == 3
        assert all(mailbox.refresh_now() for mailbox in mailboxes), "all work again once it is mended"

    def test_a_wrong_client_secret_is_put_right_in_the_settings(self, mailbox, settings, posts):
        right = settings.MAIL_OAUTH
        wrong = {**right["PROVIDERS"]["microsoft"], "CLIENT_SECRET": "wrong"}
        settings.MAIL_OAUTH = {**right, "PROVIDERS": {"microsoft": wrong}}
        with pytest.raises(ProviderUnavailable, match="AADSTS7000215"):
            mailbox.get_access_token()
        assert stored(mailbox).status == Status.CONNECTED
        settings.MAIL_OAUTH = right
        assert mailbox.refresh_now()

    def test_redirects_are_not_followed(self, mailbox, provider):
        with provider.fault(Fault.redirect(f"{provider.url}/elsewhere")), pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert len(provider.token_calls(email=mailbox.email)) == 1

    def test_an_alias_that_is_gone_from_the_settings(self, mailbox, settings, posts):
        settings.MAIL_OAUTH = {"PROVIDERS": {}}
        with pytest.raises(ProviderUnavailable, match="configuration"):
            mailbox.get_access_token()
        assert stored(mailbox).status == Status.CONNECTED


class TestAKeyThatIsGone:
    def test_is_the_operators_turn_and_costs_nobody_a_grant(self, mailbox, settings, posts):
        keys = settings.FERNET_KEYS
        settings.FERNET_KEYS = ["another"]
        for _ in range(2):
            with pytest.raises(CredentialsUnreadable, match="FERNET_KEYS"):
                mailbox.get_access_token()
        row = stored(mailbox)
        assert row.status == Status.UNREADABLE
        assert row.refresh_token == mailbox.refresh_token, "the ciphertext is kept"
        assert posts(mailbox) == 0
        settings.FERNET_KEYS = keys
        assert mailbox.refresh_now()
        assert stored(mailbox).status == Status.CONNECTED

    def test_for_the_access_token_alone_is_mended_by_a_refresh(self, connect, posts):
        mailbox, other = connect(), connect()
        MailCredentials.objects.filter(pk=mailbox.pk).update(access_token=other.access_token)
        assert mailbox.get_access_token()
        assert posts(mailbox) == 1


class TestEachTransitionIsToldOnce:
    def test_a_refresh(self, mailbox, heard):
        mailbox.get_access_token()
        mailbox.get_access_token()
        assert kinds(mailbox) == [EventKind.REFRESHED]
        assert heard == [("token_refreshed", "")]

    def test_a_failure_changes_no_status(self, mailbox, provider, heard):
        provider.fail_next(1, Fault.html())
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert heard == []

    def test_a_dead_grant(self, mailbox, provider, heard):
        provider.revoke(mailbox.email)
        for _ in range(2):
            with pytest.raises(ReauthRequired):
                mailbox.get_access_token()
        assert heard == [("mailbox_status_changed", "needs_reauth")]
        assert kinds(mailbox) == [EventKind.NEEDS_REAUTH]

    def test_a_receiver_that_fails_is_logged_and_undoes_nothing(self, mailbox, caplog):
        def fail(**about):
            raise RuntimeError("the receiver's own trouble")

        signals.token_refreshed.connect(fail)
        try:
            token = mailbox.get_access_token()
        finally:
            signals.token_refreshed.disconnect(fail)
        assert stored(mailbox).open_access_token() == token
        assert "receiver" in caplog.text


class TestTheLog:
    def test_has_one_record_of_a_refresh_without_a_secret(self, mailbox, provider, caplog):
        caplog.set_level(logging.DEBUG)
        token = mailbox.get_access_token()
        [record] = [record for record in caplog.records if getattr(record, "action", "") == "refresh"]
        assert record.mailbox == str(mailbox.pk)
        assert (record.provider, record.outcome, record.reason) == ("microsoft", "granted", "")
        assert record.generation == token.generation
        assert record.expires_at == token.expires_at.isoformat()
        assert record.refresh_token == "new"
        everything = "\n".join(str(vars(record)) for record in caplog.records)
        assert not [secret for secret in provider.issued if secret in everything]

    def test_warns_of_what_somebody_must_do(self, mailbox, provider, caplog):
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.get_access_token()
        [record] = [record for record in caplog.records if getattr(record, "action", "") == "refresh"]
        assert (record.levelname, record.outcome) == ("WARNING", "reauth")
        assert record.reason.startswith("AADSTS")


def test_a_mailbox_whose_oauth_is_off_is_neither_used_nor_refreshed(connect, posts):
    mailbox = connect(seconds_left=-10, use_oauth=False)
    for act in (mailbox.get_access_token, mailbox.refresh_now):
        with pytest.raises(MailboxDisconnected, match="switched off"):
            act()
    assert posts(mailbox) == 0
