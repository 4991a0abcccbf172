"""`manage.py mail_oauth test_mailbox` says of each step whether it works, and where one does not, who must act."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.management.sign_ins import SCHEMA
from mail_oauth.upkeep.signing_in import sign_in_everywhere
from tests.mailbox.scripted import BY_PROTOCOL, saying
from tests.mailboxes import stored
from tests.services.dovecot_files import MICROSOFT

pytestmark = pytest.mark.django_db

SIGNED_IN = {"imap": "OK signed in", "pop": "+OK signed in", "smtp": "235 2.7.0 signed in"}
EVERY_STEP = [
    ("", "token"),
    *(("IMAP", step) for step in ("connect", "tls", "sign_in", "list")),
    *(("POP", step) for step in ("connect", "tls", "sign_in", "list")),
    *(("SMTP", step) for step in ("connect", "tls", "sign_in", "send")),
]


@pytest.fixture
def run(provider):
    """Runs the command; its exit code and output, in which no secret and no mail stands."""

    def call(*arguments: Any) -> tuple[int, str]:
        out, code = io.StringIO(), 0
        try:
            call_command("mail_oauth", "test_mailbox", *map(str, arguments), stdout=out, stderr=out)
        except CommandError as error:
            out.write(f"CommandError: {error}\n")
            code = error.returncode
        said = out.getvalue()
        assert not any(secret in said for secret in provider.issued)
        assert "How are you?" not in said
        return code, said

    return call


def outcomes(found) -> dict[tuple[str, str], str]:
    return {(step.protocol, step.stage): step.outcome for step in found.steps}


def the_failed(found):
    [failed] = found.failed
    return failed


def signed_in(protocol: str, **then: list[str]):
    """A server that takes any token, and says something of its own to some commands."""
    return BY_PROTOCOL[protocol](saying(protocol, SIGNED_IN[protocol]), then=then)


class TestAMailboxThatWorks:
    def test_has_every_step_ticked(self, run, dovecot, mailbox):
        dovecot.deliver(mailbox.email, b"Subject: hello\r\n\r\nHow are you?\r\n")
        code, said = run(mailbox.email)
        assert code == 0
        assert [line[0] for line in said.splitlines()[1:]] == ["\N{CHECK MARK}"] * 12
        assert "1 message in INBOX" in said
        assert f"as {mailbox.email}" in said
        assert dovecot.sink.messages == []

    @pytest.mark.parametrize("starttls", [False, True], ids=["tls", "starttls"])
    def test_sends_itself_a_message_where_that_is_wanted(self, run, dovecot, site, mailbox, starttls):
        site(starttls=starttls)
        code, said = run(mailbox.email, "--send")
        assert code == 0, said
        [taken] = dovecot.sink.messages
        assert (taken.sender, taken.recipients) == (mailbox.email, (mailbox.email,))
        assert b"Subject: Test message" in taken.content
        assert outcomes(sign_in_everywhere(mailbox, send=True)) == dict.fromkeys(EVERY_STEP, "ok")

    def test_is_left_as_it_was(self, run, dovecot, mailbox, posts):
        dovecot.deliver(mailbox.email, b"Subject: hello\r\n\r\nHow are you?\r\n")
        before = stored(mailbox).generation
        for _ in range(2):
            run(mailbox.email)
        with mailbox.imap() as client:
            client.select(readonly=True)
            assert client.search(None, "UNSEEN")[1] == [b"1"]
        assert (stored(mailbox).generation, posts(mailbox)) == (before, 0)

    def test_of_some_protocols_only(self, run, mailbox):
        code, said = run(mailbox.pk, "--protocol", "pop", "--protocol", "smtp")
        assert code == 0
        assert {line.split()[1] for line in said.splitlines()[2:]} == {"POP", "SMTP"}

    def test_as_json(self, run, mailbox):
        code, said = run(mailbox.email, "--json", "--send")
        data = json.loads(said)
        assert code == 0
        assert set(data) == {"schema", "mailbox", "email", "provider", "ok", "steps"}
        assert (data["schema"], data["ok"], data["mailbox"]) == (SCHEMA, True, str(mailbox.pk))
        assert [(step["protocol"], step["step"]) for step in data["steps"]] == EVERY_STEP
        assert all(step["milliseconds"] >= 0 for step in data["steps"])

    def test_a_token_that_a_server_refuses_is_replaced_on_the_way(self, run, provider, mailbox, posts):
        mailbox.get_access_token()
        provider.expire_access_tokens(mailbox.email)
        assert run(mailbox.email)[0] == 0
        assert posts(mailbox) == 1


class TestAStepThatFails:
    def test_names_who_must_act_and_the_rest_is_skipped(self, run, site, dovecot, mailbox):
        site(host=dovecot.wrong_host)
        code, said = run(mailbox.email, "--protocol", "imap")
        assert code == 1
        lines = said.splitlines()
        assert [line[0] for line in lines[1:4]] == ["\N{CHECK MARK}", "\N{CHECK MARK}", "\N{BALLOT X}"]
        assert "(tls): look whether it is up" in lines[4]
        assert [line.split(None, 3)[3] for line in lines[5:7]] == [
            "in  skipped: TLS failed",
            "skipped: TLS failed",
        ]
        assert lines[-1] == "CommandError: 1 of 5 steps failed."

    def test_connecting(self, dovecot, mailbox):
        dovecot.stop()
        found = sign_in_everywhere(mailbox, protocols=["POP"])
        assert list(outcomes(found).values()) == ["ok", "failed", "skipped", "skipped", "skipped"]
        assert the_failed(found).reason == "refused"

    def test_connecting_to_a_private_host_that_is_not_listed(self, site, mailbox):
        site(ours={"PRIVATE_HOSTS": ["127.0.0.1"]})
        failed = the_failed(sign_in_everywhere(mailbox, protocols=["IMAP"]))
        assert (failed.stage, failed.reason) == ("connect", "configuration")
        assert "PRIVATE_HOSTS" in failed.what

    def test_signing_in_where_the_scope_is_another(self, dovecot, mailbox):
        dovecot.trust("google")
        found = sign_in_everywhere(mailbox)
        assert [(step.protocol, step.stage) for step in found.failed] == [
            (protocol, "sign_in") for protocol in ("IMAP", "POP", "SMTP")
        ]

    def test_signing_in_because_the_grant_is_dead(self, provider, mailbox):
        mailbox.get_access_token()
        provider.end_grants(mailbox.email)
        found = sign_in_everywhere(mailbox, protocols=["IMAP"])
        failed = the_failed(found)
        assert (failed.stage, stored(mailbox).status) == ("sign_in", "needs_reauth")
        assert "must be reconnected by its user" in failed.what

    def test_the_token_itself(self, run, connect, site, provider):
        mailbox = connect(seconds_left=-10)
        provider.revoke(mailbox.email)
        code, said = run(mailbox.email)
        assert code == 1
        assert "must be reconnected by its user" in said
        assert said.count("skipped: token failed") == 11

    def test_the_provider_has_left_the_settings(self, run, mailbox, settings):
        mailbox.get_access_token()
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {}}
        code, said = run(mailbox.email)
        assert code == 1
        assert "has no 'microsoft'" in said

    @pytest.mark.parametrize(
        "answer", ["BAD User is authenticated but not connected.", "NO User is authenticated but not connected."]
    )
    def test_no_access_to_that_mailbox_which_microsoft_says_after_the_sign_in(self, serve, connect, answer):
        serve("imap", signed_in("imap", LIST=[f"{{tag}} {answer}"]))
        mailbox = connect()
        found = sign_in_everywhere(mailbox, protocols=["IMAP"])
        assert list(outcomes(found).values()) == ["ok", "ok", "ok", "ok", "failed"]
        assert the_failed(found).reason == "mailbox"
        assert f"has no access to {mailbox.email}" in the_failed(found).what

    @pytest.mark.parametrize(
        ("protocol", "then", "reason"),
        [
            (
                "imap",
                {"LIST": ["{tag} OK done"], "EXAMINE": ["{tag} NO [NONEXISTENT] No such mailbox"]},
                "mailbox",
            ),
            ("imap", {"LIST": ["{tag} OK done"], "EXAMINE": ["{tag} NO [UNAVAILABLE] Later"]}, "unavailable"),
            ("imap", {"LIST": ["* BYE Connection is closed. 13"]}, "connection"),
            (
                "imap",
                {"LIST": ["{tag} OK done"], "EXAMINE": ["* " + "9" * 5000 + " EXISTS", "{tag} OK done"]},
                "connection",
            ),
            ("pop", {"STAT": ["-ERR [SYS/TEMP] Later"]}, "unavailable"),
            ("pop", {"STAT": ["-ERR Mailbox is locked"]}, "mailbox"),
            ("pop", {"STAT": ["+OK"]}, "connection"),
            ("pop", {"STAT": ["+OK one two"]}, "connection"),
        ],
    )
    def test_looking(self, serve, connect, protocol, then, reason):
        serve(protocol, signed_in(protocol, **then))
        failed = the_failed(sign_in_everywhere(connect(), protocols=[protocol.upper()]))
        assert (failed.stage, failed.reason) == ("list", reason)

    @pytest.mark.parametrize(
        ("then", "reason", "words"),
        [
            ({"MAIL": ["454 4.7.1 Later"]}, "unavailable", "try again later"),
            ({"MAIL": ["550 5.7.60 SMTP; Client does not have permissions"]}, "not_taken", "may not send as"),
            ({"MAIL": ["250 ok"], "RCPT": ["550 5.4.5 Daily sending quota"]}, "not_taken", "(550 5.4.5)"),
            (
                {"MAIL": ["250 ok"], "RCPT": ["250 ok"], "DATA": ["554 5.2.252 SendAsDenied"]},
                "not_taken",
                "may not send as",
            ),
            ({"MAIL": ["535 5.7.139 SmtpClientAuthentication is disabled"]}, "switched_off", "administrator"),
            ({"MAIL": ["250 ok"], "RCPT": ["421 4.3.2 Bye"]}, "unavailable", "try again later"),
        ],
    )
    def test_sending(self, serve, connect, then, reason, words):
        serve("smtp", signed_in("smtp", RSET=["250 ok"], QUIT=["221 bye"], **then))
        failed = the_failed(sign_in_everywhere(connect(), protocols=["SMTP"], send=True))
        assert (failed.stage, failed.reason) == ("send", reason)
        assert words in failed.what

    def test_no_sentence_of_a_server_is_shown(self, run, serve, connect):
        serve("imap", signed_in("imap", LIST=["{tag} NO <script> authenticated but not connected"]))
        code, said = run(connect().email, "--protocol", "imap")
        assert (code, "script" in said) == (1, False)


class TestAProtocolThatCannotBeTried:
    def test_because_the_provider_names_no_server(self, run, site, mailbox):
        site(POP=None)
        code, said = run(mailbox.email)
        assert code == 0
        assert "POP   connect  skipped: Microsoft names no POP server" in said

    def test_because_the_grant_has_no_scope(self, run, site, connect, dovecot):
        imap = f"{MICROSOFT}/IMAP.AccessAsUser.All"
        site(SCOPES=["openid", "profile", "email", "offline_access", imap])
        code, said = run(connect().email, "--send")
        assert code == 0
        assert "SMTP  connect  skipped: the grant has no scope for it (SMTP.Send)" in said
        assert dovecot.sink.messages == []


class TestWhichMailbox:
    def test_one_that_is_not_there(self, run, mailbox):
        code, said = run("nobody@example.com")
        assert code == 1
        assert "No connected mailbox is called 'nobody@example.com'" in said
        disconnect(mailbox)
        assert run(mailbox.email)[0] == 1

    def test_of_several_the_one_that_is_meant(self, run, mailbox, connect, other_user):
        other = connect(email=mailbox.email, owner=other_user)
        connect("google", email=mailbox.email)
        code, said = run(mailbox.email)
        assert code == 1
        assert "Several mailboxes are called" in said
        assert f"  {other.pk}  microsoft  {other_user.username}" in said
        assert said.count("microsoft") == 2
        code, said = run(mailbox.email.upper(), "--provider", "microsoft", "--user", other_user.username, "--json")
        assert (code, json.loads(said)["mailbox"]) == (0, str(other.pk))
        code, said = run(mailbox.email, "--user", "nobody")
        assert code == 1
        assert "No mailbox of that provider and user is called" in said

    def test_sending_wants_smtp(self, run, mailbox):
        code, said = run(mailbox.email, "--send", "--protocol", "imap")
        assert (code, "add --protocol smtp" in said) == (1, True)


def test_a_terminal_that_knows_no_marks_gets_others(mailbox):
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as out:
        with suppress(CommandError):
            call_command("mail_oauth", "test_mailbox", mailbox.email, "--protocol", "pop", stdout=out)
        out.seek(0)
        assert out.read().splitlines()[1].startswith("+       token")
