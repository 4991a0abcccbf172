"""Staff ask a user to reconnect by mail: the link works once, for that user, and only the newest of a mailbox."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import mail, signing
from django.core.mail.backends.base import BaseEmailBackend
from django.test import Client
from django.utils import timezone

from mail_oauth.connect.inviting import Invited, invite, new_link, use_link
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import ConnectAttempt, MailCredentials, ReconnectLink
from mail_oauth.upkeep.prune import prune_events
from tests.concurrency import together
from tests.notifications.conftest import mail_by
from tests.telling import said

__all__ = ["mail_by"]

pytestmark = pytest.mark.django_db

SITE = "https://mail.example"
SMTP = "django.core.mail.backends.smtp.EmailBackend"


class Overtaken(BaseEmailBackend):
    """A mail server that fails after another worker has made a newer link."""

    newer = ""

    def send_messages(self, messages):
        type(self).newer = new_link(MailCredentials.objects.get())
        raise OSError


@pytest.fixture
def ada(user) -> User:
    """The user of the mailbox, whom mail reaches elsewhere."""
    User.objects.filter(pk=user.pk).update(email="ada@elsewhere.example")
    user.refresh_from_db()
    return user


@pytest.fixture
def mailbox(ada, connect) -> MailCredentials:
    return connect("google", email="ada@example.com", status=Status.NEEDS_REAUTH, connected_at=long_ago())


def long_ago():
    return timezone.now() - timedelta(days=30)


def browser_of(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def sent_path() -> str:
    """The path of the link in the newest mail."""
    found = re.search(rf"{SITE}(/\S+)", mail.outbox[-1].body)
    assert found, mail.outbox[-1].body
    return found[1]


def ask(mailbox) -> str:
    assert invite(mailbox, origin=SITE) is Invited.SENT
    return sent_path()


# --- the mail ---


def test_the_user_is_sent_the_link_at_their_own_address(mailbox):
    path = ask(mailbox)
    (message,) = mail.outbox
    assert message.to == ["ada@elsewhere.example"]
    assert message.subject == "Please reconnect ada@example.com"
    (html, kind) = message.alternatives[0]
    assert kind == "text/html"
    assert f'href="{SITE}{path}"' in html
    assert "within 7 days" in message.body


def test_nothing_that_a_user_is_called_is_markup_or_a_header(mailbox, ada):
    User.objects.filter(pk=ada.pk).update(username="<b>Ada</b> & Co")
    MailCredentials.objects.filter(pk=mailbox.pk).update(email='"a\r\nBcc: eve"@example.com')
    ask(MailCredentials.objects.get())
    (message,) = mail.outbox
    assert "Hello <b>Ada</b> & Co," in message.body
    assert "<b>Ada" not in message.alternatives[0][0]
    assert "\n" not in message.subject


def test_the_sites_own_address_counts_more_than_the_request(mailbox, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BASE_URL": "https://other.example/"}
    invite(mailbox, origin=SITE)
    assert "https://other.example/mail/reconnect/" in mail.outbox[0].body


def test_who_cannot_be_asked_is_said_to_be_so(mailbox, ada, mail_by):
    assert invite(mailbox) is Invited.NO_LINK
    mail_by(SMTP, host="127.0.0.1", port=1)
    assert invite(mailbox, origin=SITE) is Invited.NOT_SENT
    User.objects.filter(pk=ada.pk).update(email="")
    assert invite(MailCredentials.objects.get(), origin=SITE) is Invited.NO_ADDRESS
    mailbox.status = Status.DISCONNECTED
    assert invite(mailbox, origin=SITE) is Invited.GONE


# --- the link ---


def test_it_leads_through_the_sign_in_to_the_button_and_to_the_provider(mailbox, ada):
    path = ask(mailbox)
    stranger = Client()
    to_login = stranger.get(path)
    assert to_login.status_code == 302
    assert path in unquote(to_login.url)
    assert stranger.post(path).status_code == 302
    browser = browser_of(ada)
    assert "Reconnect ada@example.com" in browser.get(path).content.decode()
    assert not ConnectAttempt.objects.exists()
    begun = browser.post(path)
    assert begun.status_code == 302
    attempt = ConnectAttempt.objects.get()
    assert (attempt.user, attempt.replaces) == (ada, mailbox)
    assert parse_qs(urlsplit(begun.url).query)["login_hint"] == ["ada@example.com"]


def test_looking_does_not_use_it_up_and_pressing_does(mailbox, ada):
    """Scanners of mail follow links."""
    path, browser = ask(mailbox), browser_of(ada)
    for _ in range(3):
        assert browser.get(path).status_code == 200
    assert browser.post(path).status_code == 302
    for again in (browser.get(path), browser.post(path)):
        assert again.status_code == 400
        assert "This link does not work" in again.content.decode()
    assert ConnectAttempt.objects.count() == 1


def test_of_two_who_press_at_the_same_moment_one_begins(mailbox):
    name = new_link(mailbox)
    assert [use_link(name), use_link(name)] == [True, False]


def test_of_many_at_once_one_uses_it(separate_connections, mailbox):
    name = new_link(mailbox)
    assert sorted(together(4, lambda: use_link(name))) == [False, False, False, True]


def test_a_newer_one_ends_it(mailbox, ada):
    old, new = ask(mailbox), ask(mailbox)
    browser = browser_of(ada)
    assert browser.get(old).status_code == 400
    assert browser.get(new).status_code == 200


class TestWhereTheNextMailCannotBeSent:
    @pytest.fixture
    def no_mail(self, mail_by):
        mail_by(SMTP, host="127.0.0.1", port=1)

    @pytest.fixture
    def path(self, mailbox):
        return ask(mailbox)

    def test_it_goes_on_working(self, path, no_mail, mailbox, ada):
        before = ReconnectLink.objects.values().get()
        assert invite(mailbox, origin=SITE) is Invited.NOT_SENT
        assert ReconnectLink.objects.values().get() == before
        assert browser_of(ada).post(path).status_code == 302

    def test_a_used_one_stays_used(self, path, no_mail, mailbox, ada):
        browser_of(ada).post(path)
        assert invite(mailbox, origin=SITE) is Invited.NOT_SENT
        assert browser_of(ada).post(path).status_code == 400

    def test_nothing_is_left_of_a_first_one(self, no_mail, mailbox):
        assert invite(mailbox, origin=SITE) is Invited.NOT_SENT
        assert not ReconnectLink.objects.exists()

    def test_a_newer_one_that_was_made_meanwhile_is_left_alone(self, path, mailbox, mail_by):
        mail_by(f"{__name__}.Overtaken")
        assert invite(mailbox, origin=SITE) is Invited.NOT_SENT
        assert use_link(Overtaken.newer)


def test_connecting_by_another_way_ends_it(mailbox, ada):
    path = ask(mailbox)
    MailCredentials.objects.update(connected_at=timezone.now(), status=Status.CONNECTED)
    assert browser_of(ada).get(path).status_code == 400


@pytest.mark.parametrize(
    "how",
    [
        lambda: ReconnectLink.objects.update(expires_at=timezone.now()),
        lambda: MailCredentials.objects.update(status=Status.DISCONNECTED),
        lambda: MailCredentials.objects.all().delete(),
        lambda: MailCredentials.objects.update(provider="former"),
    ],
    ids=["expired", "disconnected", "deleted", "provider gone"],
)
def test_it_ends_with_its_time_and_with_its_mailbox(mailbox, ada, how):
    path = ask(mailbox)
    how()
    browser = browser_of(ada)
    assert (browser.get(path).status_code, browser.post(path).status_code) == (400, 400)
    assert not ConnectAttempt.objects.exists()


def test_it_is_of_no_use_to_anybody_else(mailbox, django_user_model):
    path = ask(mailbox)
    eve = browser_of(django_user_model.objects.create_user("eve"))
    for answer in (eve.get(path), eve.post(path)):
        assert answer.status_code == 400
        assert "ada@example.com" not in answer.content.decode()
    assert ReconnectLink.objects.get().used_at is None


def test_a_forged_one_is_refused_without_a_look_into_the_database(mailbox, ada, django_assert_num_queries):
    ask(mailbox)
    forged = [
        signing.dumps([mailbox.pk.hex, "guess"], salt="another"),
        signing.dumps("text", salt="mail_oauth.reconnect"),
        signing.dumps([mailbox.pk.hex], salt="mail_oauth.reconnect"),
        "x:y:z",
        "%00",
    ]
    browser = browser_of(ada)
    for name in forged:
        with django_assert_num_queries(2):  # session and person
            assert browser.get(f"/mail/reconnect/{name}/").status_code == 400, name


def test_one_whose_nonce_is_another_is_refused(mailbox, ada):
    ask(mailbox)
    other = signing.dumps([mailbox.pk.hex, "guess"], salt="mail_oauth.reconnect")
    assert browser_of(ada).post(f"/mail/reconnect/{other}/").status_code == 400


def test_where_no_consent_is_begun_it_is_kept(mailbox, ada, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CONNECT_STARTS_PER_HOUR": 1}
    browser = browser_of(ada)
    browser.post("/mail/connect/google/")
    path = ask(mailbox)
    assert browser.post(path).status_code == 429
    assert ReconnectLink.objects.get().used_at is None
    assert browser.get(path).status_code == 200


def broken_providers(settings):
    spoilt = {**settings.MAIL_OAUTH["PROVIDERS"]["google"], "CLASS": "nowhere.Provider"}
    providers = {**settings.MAIL_OAUTH["PROVIDERS"], "google": spoilt}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": providers}


def any_host(settings):
    settings.ALLOWED_HOSTS = ["*"]


@pytest.mark.parametrize("spoil", [broken_providers, any_host])
def test_settings_that_are_wrong_for_a_while_do_not_use_it_up(mailbox, ada, settings, spoil):
    path, browser, right = ask(mailbox), browser_of(ada), (settings.MAIL_OAUTH, settings.ALLOWED_HOSTS)
    browser.raise_request_exception = False
    spoil(settings)
    assert browser.post(path).status_code == 500
    settings.MAIL_OAUTH, settings.ALLOWED_HOSTS = right
    assert browser.post(path).status_code == 302


def test_the_table_opens_nothing(mailbox):
    name = new_link(mailbox)
    _pk, nonce = signing.loads(name, salt="mail_oauth.reconnect")
    assert nonce not in ReconnectLink.objects.get().digest


def test_old_ones_are_pruned(mailbox):
    ask(mailbox)
    prune_events()
    assert ReconnectLink.objects.count() == 1
    ReconnectLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    prune_events()
    assert not ReconnectLink.objects.exists()


def test_a_provider_that_names_nobody_keeps_the_address(ada, connect):
    mailbox = connect("plain", email="ada@example.com", connected_at=long_ago())
    browser_of(ada).post(ask(mailbox))
    assert ConnectAttempt.objects.get().typed_email == "ada@example.com"


# --- from the admin ---


@pytest.fixture
def root(db) -> Client:
    return browser_of(User.objects.create_superuser("root"))


def press(root, mailbox):
    address = f"/admin/mail_oauth/mailcredentials/{mailbox.pk}/operation/ask_to_reconnect/"
    return root.post(address, {"confirmed": "yes"})


def test_staff_ask_and_the_history_says_who(root, mailbox):
    (message,) = said(press(root, mailbox))
    assert message == "ada@example.com: its user was sent a link to reconnect it."
    assert "http://testserver/mail/reconnect/" in mail.outbox[0].body
    event = mailbox.events.get()
    assert (event.kind, event.actor.username, event.reason) == (EventKind.RECONNECT_ASKED, "root", "")


def test_what_kept_them_from_it_is_said_and_stands_in_the_history(root, mailbox, ada):
    User.objects.filter(pk=ada.pk).update(email="")
    (message,) = said(press(root, mailbox))
    assert message == "ada@example.com: nobody was asked: its user has no e-mail address on this site."
    assert mailbox.events.get().reason == "no_address"


def test_a_host_that_nobody_vouches_for_is_put_into_no_mail(root, mailbox, settings):
    settings.ALLOWED_HOSTS = ["*"]
    (message,) = said(press(root, mailbox))
    assert 'set MAIL_OAUTH["BASE_URL"]' in message
    assert mail.outbox == []


def test_with_no_days_there_is_no_button(root, mailbox, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "RECONNECT_LINK_DAYS": 0}
    page = root.get(f"/admin/mail_oauth/mailcredentials/{mailbox.pk}/change/").content.decode()
    assert "ask_to_reconnect" not in page
    (message,) = said(press(root, mailbox))
    assert "nothing was done" in message
    assert mail.outbox == []


def test_the_page_costs_few_queries(mailbox, ada, django_assert_num_queries):
    path, browser = ask(mailbox), browser_of(ada)
    with django_assert_num_queries(3):  # session, person, link with its mailbox
        browser.get(path)
