"""With `VERIFY_CONNECT` a mailbox is opened with its new token before anything of an old grant is touched."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from mail_oauth.models import MailCredentials
from tests.mailbox.scripted import BY_PROTOCOL, saying
from tests.mailbox.test_trials import signed_in
from tests.mailboxes import stored
from tests.services.dovecot_files import MICROSOFT

pytestmark = pytest.mark.django_db

PROTOCOLS = tuple(BY_PROTOCOL)
OPENS = {
    "imap": {"LIST": ["{tag} OK done"], "EXAMINE": ["* 3 EXISTS", "{tag} OK done"]},
    "pop": {"STAT": ["+OK 3 300"]},
    "smtp": {},
}

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def refused(reply: Any) -> str:
    return (
        reply["Location"].split("/refused/microsoft/")[1].split("/")[0] if "/refused/" in reply["Location"] else ""
    )


@pytest.fixture
def verifying(settings):
    """Switches it on."""

    def switch(protocol: str) -> None:
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "VERIFY_CONNECT": protocol}

    return switch


@pytest.fixture
def spent(provider):
    """How many refreshes there were."""
    before = len(provider.token_calls("refresh_token"))
    return lambda: len(provider.token_calls("refresh_token")) - before


class TestWhoeverIsLetIn:
    @each_protocol
    def test_is_connected(self, site, surfer, verifying, spent, protocol, caplog):
        verifying(protocol)
        assert refused(surfer.connect()) == ""
        assert MailCredentials.objects.get().status == "connected"
        assert "not verified" not in caplog.text
        assert spent() == 0

    @each_protocol
    def test_was_let_in_with_the_new_token_at_their_own_address(self, serve, surfer, verifying, protocol):
        server = serve(protocol, signed_in(protocol, **OPENS[protocol]))
        verifying(protocol)
        surfer.connect()
        token = MailCredentials.objects.get().open_access_token().reveal()
        assert f"user=ada@example.com\x01auth=Bearer {token}\x01\x01".encode() in frames(server)

    def test_at_the_address_of_a_shared_mailbox_which_its_row_keeps(self, serve, surfer, verifying):
        server = serve("imap", signed_in("imap", **OPENS["imap"]))
        surfer.connect(email="sales@example.com")
        verifying("imap")
        surfer.connect(mailbox=str(MailCredentials.objects.get().pk))
        assert all(frame.startswith(b"user=sales@example.com\x01") for frame in frames(server))
        assert len(frames(server)) == 1

    def test_is_asked_for_nothing_where_it_is_off(self, serve, surfer):
        server = serve("imap", signed_in("imap", **OPENS["imap"]))
        surfer.connect()
        assert server.connections == 0


def frames(server: Any) -> list[bytes]:
    """What was shown to a server by SASL."""
    found = []
    for line in server.heard:
        try:
            found.append(b64decode(line.strip(), validate=True))
        except ValueError:
            continue
    return [frame for frame in found if frame.startswith(b"user=")]


REFUSALS = [
    ("smtp", "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant.", {}, "mail_switched_off"),
    ("imap", "NO [ALERT] Your account is not enabled for IMAP use.", {}, "mail_switched_off"),
    ("pop", "-ERR [SYS/PERM] Your account is not enabled for POP access.", {}, "mail_switched_off"),
    ("imap", "NO AUTHENTICATE failed.", {}, "mail_refused"),
    ("imap", "NO [AUTHORIZATIONFAILED] Not yours.", {}, "mail_access"),
    ("imap", "OK in", {"LIST": ["{tag} BAD User is authenticated but not connected."]}, "mail_access"),
    ("pop", "+OK in", {"STAT": ["-ERR Mailbox does not exist"]}, "mail_access"),
]


class TestWhoeverIsNot:
    @pytest.mark.parametrize(("protocol", "answer", "then", "code"), REFUSALS)
    def test_is_told_why_and_the_old_grant_is_as_it_was(
        self, serve, surfer, verifying, provider, spent, protocol, answer, then, code
    ):
        serve(protocol, BY_PROTOCOL[protocol](saying(protocol, answer), then=then))
        surfer.connect()
        before = MailCredentials.objects.get()
        verifying(protocol)
        reply = surfer.connect(mailbox=str(before.pk))
        assert refused(reply) == code
        assert b"Nothing was changed" in surfer.client.get(reply["Location"]).content
        after = stored(before)
        assert after.generation == before.generation
        assert after.open_refresh_token() == before.open_refresh_token()
        assert provider.is_valid_access_token(after.get_access_token().reveal())
        assert spent() == 0

    @each_protocol
    def test_has_no_row_where_there_was_none(self, site, surfer, verifying, protocol):
        """The address is another's."""
        verifying(protocol)
        assert refused(surfer.connect(email="grace@example.com")) == "mail_refused"
        assert not MailCredentials.objects.exists()

    def test_lacks_a_scope(self, site, surfer, verifying):
        imap = f"{MICROSOFT}/IMAP.AccessAsUser.All"
        site(SCOPES=["openid", "profile", "email", "offline_access", imap])
        verifying("smtp")
        assert refused(surfer.connect()) == "mail_scope"

    def test_hears_of_another_account_first(self, serve, surfer, verifying):
        server = serve("imap", BY_PROTOCOL["imap"](saying("imap", "NO")))
        surfer.connect()
        verifying("imap")
        url = surfer.start(mailbox=str(MailCredentials.objects.get().pk))
        assert refused(surfer.follow(surfer.consent(url, "eve@example.com"))) == "wrong_account"
        assert server.connections == 0

    def test_cannot_do_anything_about_the_sites_settings(self, serve, surfer, verifying, site_private):
        serve("imap", BY_PROTOCOL["imap"](saying("imap", "NO"), "IMAP4rev1 AUTH=PLAIN"))
        verifying("imap")
        assert refused(surfer.connect()) == "misconfigured"
        site_private()
        assert refused(surfer.connect()) == "misconfigured"

    def test_is_in_the_log_without_an_address(self, serve, surfer, verifying, caplog):
        serve("imap", BY_PROTOCOL["imap"](saying("imap", "NO [ALERT] It is not enabled")))
        verifying("imap")
        surfer.connect()
        assert "connect refused: mail_switched_off (IMAP: switched_off ALERT)" in caplog.text
        assert "ada@example.com" not in caplog.text


@pytest.fixture
def site_private(settings):
    """Has the mail on a private host that is not listed."""

    def switch() -> None:
        from mail_oauth.tokens import MailServer

        before = settings.MAIL_OAUTH
        place = MailServer(host="127.0.0.9", port=1)
        microsoft = {**before["PROVIDERS"]["microsoft"], "IMAP": place}
        settings.MAIL_OAUTH = {**before, "PROVIDERS": {**before["PROVIDERS"], "microsoft": microsoft}}

    return switch


class TestAServerThatCannotTell:
    @each_protocol
    def test_holds_nobody_up(self, site, dovecot, surfer, verifying, protocol, caplog):
        verifying(protocol)
        dovecot.stop()
        assert refused(surfer.connect()) == ""
        assert MailCredentials.objects.get().status == "connected"
        assert f"connect: not verified by {protocol.upper()} (refused)" in caplog.text

    def test_nor_does_one_that_says_later(self, serve, surfer, verifying, caplog):
        serve("imap", BY_PROTOCOL["imap"](saying("imap", "NO [UNAVAILABLE] Later.")))
        verifying("imap")
        assert refused(surfer.connect()) == ""
        assert "connect: not verified by IMAP (unavailable)" in caplog.text

    def test_nor_one_that_no_provider_names(self, site, surfer, verifying, caplog):
        site(POP=None)
        verifying("pop")
        assert refused(surfer.connect()) == ""
        assert "connect: not verified by POP (no_server)" in caplog.text


def test_the_setting_is_one_of_three_or_empty(settings):
    from django.core.checks import run_checks

    from mail_oauth.conf import problems

    for value in ("", *PROTOCOLS):
        assert problems({"VERIFY_CONNECT": value}) == []
    settings.MAIL_OAUTH = {"VERIFY_CONNECT": "imaps"}
    [message] = run_checks(tags=["mail_oauth"])
    assert message.id == "mail_oauth.E001"
    assert message.msg.endswith("write MAIL_OAUTH['VERIFY_CONNECT'] = 'imap'.")
