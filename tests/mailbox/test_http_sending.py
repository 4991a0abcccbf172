"""Mail over HTTP, where SMTP is shut: to servers that answer as Graph and Gmail document it."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

import pytest
from django.core.mail import EmailMessage

from mail_oauth.backends import EmailBackend
from mail_oauth.exceptions import (
    ConfigurationError,
    MailServerUnavailable,
    MessageRefused,
    ReauthRequired,
    SignInRefused,
)
from mail_oauth.mailbox.http import HttpConnection
from mail_oauth.providers import provider_for
from mail_oauth.tokens import MailEndpoint, MailServer
from tests.mailbox.api import MailApi
from tests.mailbox.scripted import ScriptedServer, saying, smtp
from tests.transport.certificates import Authority

pytestmark = pytest.mark.django_db

SEND = "https://graph.microsoft.com/Mail.Send"
GMAIL = "https://mail.google.com/"
GRAPH_PATH, GMAIL_PATH = "/v1.0/{mailbox}/sendMail", "/upload/gmail/v1/users/me/messages/send?uploadType=media"


@pytest.fixture
def graph(provider, settings):
    with MailApi(provider, SEND, status=202, encoded=True) as api:
        place = MailEndpoint(url=api.url + GRAPH_PATH, resource="graph", content_type="text/plain", base64=True)
        _configure(settings, "microsoft", MAIL_ENDPOINT=place, SENDING="http", RESOURCES={"graph": [SEND]})
        yield api


@pytest.fixture
def gmail(provider, settings):
    with MailApi(provider, GMAIL, status=200, encoded=False) as api:
        place = MailEndpoint(url=api.url + GMAIL_PATH, resource="mail", content_type="message/rfc822")
        _configure(settings, "google", MAIL_ENDPOINT=place, SENDING="http")
        yield api


def _configure(settings: Any, alias: str, **options: Any) -> None:
    before = settings.MAIL_OAUTH
    changed = {**before["PROVIDERS"][alias], **options}
    settings.MAIL_OAUTH = {**before, "PROVIDERS": {**before["PROVIDERS"], alias: changed}}


def message(mailbox, **more: Any) -> EmailMessage:
    return EmailMessage("Grüße", "How are you?", mailbox.email, ["grace@example.com"], **more)


def send(mailbox, **more: Any) -> int:
    return mailbox.email_connection().send_messages([message(mailbox, **more)])


def test_graph_takes_mime_in_base64(graph, connect):
    mailbox = connect(email="ada+x@example.com")
    assert send(mailbox) == 1
    [posted] = graph.messages
    assert (posted.path, posted.content_type) == ("/v1.0/me/sendMail", "text/plain")
    assert message_from_bytes(posted.content, policy=policy.default)["Subject"] == "Grüße"


@pytest.mark.parametrize("how", ["told", "typed"])
def test_another_mailbox_than_the_accounts_own_is_named(graph, connect, how):
    """By its address alone Graph finds nobody whose principal name is another."""
    mailbox = connect(email="team+x@example.com", address_typed=how == "typed")
    user = "" if how == "typed" else "office+x@example.com"
    assert mailbox.email_connection(user=user).send_messages([message(mailbox)]) == 1
    named = "team" if how == "typed" else "office"
    assert graph.messages[0].path == f"/v1.0/users/{named}%2Bx@example.com/sendMail"


def test_gmail_takes_mime_as_it_is_with_the_mailboxs_own_token(gmail, connect, posts):
    mailbox = connect("google")
    assert send(mailbox) == 1
    [posted] = gmail.messages
    assert (posted.path, posted.content_type) == (GMAIL_PATH, "message/rfc822")
    assert posts(mailbox) == 0


def test_the_places_are_those_that_the_providers_document(provider, settings):
    microsoft, google = provider_for("microsoft"), provider_for("google")
    url = microsoft.setting("MAIL_ENDPOINT").url.format(**microsoft.placeholders(), mailbox="me")
    assert url == "https://graph.microsoft.com/v1.0/me/sendMail"
    assert google.setting("MAIL_ENDPOINT").url == f"https://gmail.googleapis.com{GMAIL_PATH}"


def test_who_gets_a_blind_copy_stands_in_a_header_which_the_provider_takes_out(graph, connect):
    send(connect(), bcc=["Bob <bob@example.com>", "carol@bücher.example"])
    read = message_from_bytes(graph.messages[0].content, policy=policy.default)
    assert read["Bcc"] == "bob@example.com, carol@xn--bcher-kva.example"


def test_whom_a_message_is_for_gets_it_whatever_its_headers_say(graph, connect):
    """As by SMTP: `recipients()` counts. Nobody else gets it."""
    mailbox = connect()
    with pytest.raises(MessageRefused, match="not for"):
        send(mailbox, headers={"To": "list@example.com"})
    assert not graph.messages
    shown = EmailMessage(
        "hello", "…", mailbox.email, ["grace@example.com"], headers={"To": "Grace <grace@example.com>"}
    )
    assert mailbox.email_connection().send_messages([shown]) == 1
    hidden = EmailMessage("hello", "…", mailbox.email, ["grace@example.com"], bcc=["b@example.com"])
    assert mailbox.email_connection().send_messages([hidden]) == 1
    assert "b@example.com" in graph.messages[-1].content.decode()


def test_a_token_that_was_revoked_is_replaced_once(graph, provider, connect, posts):
    mailbox = connect()
    send(mailbox)
    provider.expire_access_tokens(mailbox.email)
    assert send(mailbox) == 1
    assert (len(graph.messages), posts(mailbox)) == (2, 2)


def test_a_token_that_is_refused_all_the_same_is_not_replaced_in_a_loop(graph, connect, posts):
    mailbox = connect()
    mailbox.get_access_token(resource="graph")
    graph.scope = "of another api"
    with pytest.raises(SignInRefused) as refused:
        send(mailbox)
    assert (refused.value.reason, refused.value.code) == ("refused", "401 InvalidAuthenticationToken")
    with pytest.raises(SignInRefused):
        send(mailbox)
    assert posts(mailbox) == 2


@pytest.mark.parametrize(
    ("status", "code", "error", "reason"),
    [
        (403, "ErrorAccessDenied", SignInRefused, "scope"),
        (403, "ErrorSendAsDenied", SignInRefused, "scope"),
        (429, "TooManyRequests", MailServerUnavailable, "unavailable"),
        (503, "ServiceUnavailable", MailServerUnavailable, "unavailable"),
        (400, "ErrorInvalidRecipients", MessageRefused, "message"),
        (413, "RequestEntityTooLarge", MessageRefused, "message"),
        (400, "<b>no code</b>", MessageRefused, "message"),
    ],
)
def test_what_else_graph_says(graph, connect, status, code, error, reason):
    graph.say(status, {"error": {"code": code, "message": "A sentence."}})
    with pytest.raises(error) as refused:
        send(connect())
    assert refused.value.reason == reason
    assert refused.value.code == (f"{status} {code}" if code.isidentifier() else str(status))
    assert "sentence" not in str(refused.value)


def test_what_google_says(gmail, connect):
    gmail.say(403, {"error": {"code": 403, "message": "…", "status": "PERMISSION_DENIED"}})
    with pytest.raises(SignInRefused) as refused:
        send(connect("google"))
    assert refused.value.code == "403 PERMISSION_DENIED"


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"])
def test_google_says_by_403_that_it_is_too_much(gmail, connect, reason):
    gmail.say(403, {"error": {"code": 403, "errors": [{"reason": reason}], "status": "PERMISSION_DENIED"}})
    with pytest.raises(MailServerUnavailable) as unavailable:
        send(connect("google"))
    assert unavailable.value.code == f"403 {reason}"


def test_a_large_message_goes_in_parts(graph, connect):
    mailbox = connect()
    large = message(mailbox)
    large.attach("large.bin", b"x" * 3_000_000, "application/octet-stream")
    assert mailbox.email_connection().send_messages([large]) == 1
    assert len(graph.messages[0].content) > 3_000_000


def test_a_server_that_takes_too_long_is_given_up(graph, connect):
    mailbox = connect()
    mailbox.get_access_token(resource="graph")
    graph.seconds = 3
    with pytest.raises(MailServerUnavailable, match="may have been sent") as unavailable:
        mailbox.email_connection(timeout=0.5).send_messages([message(mailbox)])
    assert unavailable.value.reason == "timeout"


def test_a_server_that_is_down_leaves_the_grant_alone(graph, connect, settings):
    mailbox = connect()
    mailbox.get_access_token(resource="graph")
    place = MailEndpoint(
        url="http://127.0.0.1:9/{mailbox}", resource="graph", content_type="text/plain", base64=True
    )
    _configure(settings, "microsoft", MAIL_ENDPOINT=place)
    with pytest.raises(MailServerUnavailable) as unavailable:
        send(mailbox)
    assert unavailable.value.reason == "refused"
    assert mailbox.email_connection(fail_silently=True).send_messages([message(mailbox)]) == 0


def test_want_of_consent_is_told(graph, connect, settings):
    _configure(settings, "microsoft", RESOURCES={}, SENDING="smtp")
    mailbox = connect()
    _configure(settings, "microsoft", RESOURCES={"graph": [SEND]}, SENDING="http")
    with pytest.raises(ReauthRequired, match=r"Mail\.Send"):
        send(mailbox)


def test_the_backend_sends_so_too(graph, connect):
    one = connect(email_verified=True)
    nobody = EmailMessage("hello", "…", one.email, [])
    assert EmailBackend(user=one.user).send_messages([message(one), nobody, message(one)]) == 2
    assert len(graph.messages) == 2


def test_a_provider_that_takes_none_says_so(provider, settings):
    _configure(settings, "keycloak", SENDING="http")
    with pytest.raises(ConfigurationError, match='"SENDING": "smtp"'):
        provider_for("keycloak")


def test_a_resource_without_scopes_is_a_mistake(provider, settings):
    _configure(settings, "microsoft", SENDING="auto")
    with pytest.raises(ConfigurationError, match=r'"RESOURCES": \{"graph"'):
        provider_for("microsoft")


def test_another_way_is_no_way(provider, settings):
    _configure(settings, "microsoft", SENDING="pigeon")
    with pytest.raises(ConfigurationError, match="smtp, http, auto"):
        provider_for("microsoft")


class TestAutomatically:
    """`SENDING: "auto"`: by SMTP, and over HTTP where an administrator has switched that off."""

    @pytest.fixture
    def shut(self, graph, settings, tmp_path):
        """SMTP AUTH is disabled for the tenant, as Microsoft says it."""
        authority = Authority(tmp_path)
        said = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
        with ScriptedServer(smtp(saying("smtp", said)), authority.context()) as server:
            _configure(settings, "microsoft", SENDING="auto", SMTP=MailServer(host="127.0.0.1", port=server.port))
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CA_BUNDLE": str(authority.bundle)}
            yield server

    def test_it_goes_over_http_where_smtp_is_switched_off(self, shut, graph, connect):
        mailbox = connect()
        assert mailbox.email_connection().send_messages([message(mailbox), message(mailbox)]) == 2
        assert (shut.connections, len(graph.messages)) == (1, 2)

    def test_a_with_block_asks_smtp_once(self, shut, graph, connect):
        mailbox = connect()
        with mailbox.email_connection() as connection:
            assert connection.send_messages([message(mailbox)]) == 1
            assert connection.send_messages([message(mailbox)]) == 1
        assert (shut.connections, len(graph.messages)) == (1, 2)

    def test_without_it_the_administrator_is_named(self, shut, graph, connect, settings):
        _configure(settings, "microsoft", SENDING="smtp")
        mailbox = connect()
        with pytest.raises(SignInRefused, match="administrator"):
            send(mailbox)
        assert not graph.messages

    def test_a_connection_says_over_what_it_goes(self, shut, graph, connect, settings):
        _configure(settings, "microsoft", SENDING="http")
        assert isinstance(connect().email_connection(), HttpConnection)
