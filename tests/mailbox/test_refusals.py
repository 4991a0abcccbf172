"""What a mail server's refusal means: the words of servers, each as it was seen or is documented, and who must act."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.mailbox.refusals import Fault, Refusal, imap_refusal, pop_refusal, smtp_refusal

GOOGLE = b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'


@pytest.mark.parametrize(
    ("text", "challenge", "refusal"),
    [
        # Microsoft
        ("AUTHENTICATE failed.", b"", Refusal(Fault.TOKEN)),
        ("User is authenticated but not connected.", b"", Refusal(Fault.MAILBOX)),
        # Google
        (
            "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            GOOGLE,
            Refusal(Fault.TOKEN, "AUTHENTICATIONFAILED"),
        ),
        ("[ALERT] Too many simultaneous connections. (Failure)", b"", Refusal(Fault.UNAVAILABLE, "ALERT")),
        (
            "[ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page.",
            b"",
            Refusal(Fault.SWITCHED_OFF, "ALERT"),
        ),
        # RFC 5530 §3
        ("[UNAVAILABLE] User's backend down for maintenance.", b"", Refusal(Fault.UNAVAILABLE, "UNAVAILABLE")),
        ("[AUTHORIZATIONFAILED] No such authorization-ID", b"", Refusal(Fault.MAILBOX, "AUTHORIZATIONFAILED")),
        ("[CONTACTADMIN]", b"", Refusal(Fault.SWITCHED_OFF, "CONTACTADMIN")),
        ("[LIMIT] Too much", b"", Refusal(Fault.UNAVAILABLE, "LIMIT")),
        # RFC 7628 §3.2.2
        ("Refused.", b'{"status":"insufficient_scope"}', Refusal(Fault.SCOPE, "insufficient_scope")),
        ("Refused.", b'{"status":"invalid_token"}', Refusal(Fault.TOKEN, "invalid_token")),
        ("Refused.", b'{"status":"503"}', Refusal(Fault.UNAVAILABLE, "503")),
        ("", b"", Refusal(Fault.TOKEN)),
    ],
)
def test_imap(text, challenge, refusal):
    assert imap_refusal(text, challenge) == refusal


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        # RFC 3206 §4, RFC 2449 §8.1
        ("[SYS/TEMP] Try again", Refusal(Fault.UNAVAILABLE, "SYS/TEMP")),
        ("[SYS/PERM] Your account is not enabled for POP access.", Refusal(Fault.SWITCHED_OFF, "SYS/PERM")),
        ("[IN-USE] Do you have another POP session running?", Refusal(Fault.UNAVAILABLE, "IN-USE")),
        ("[AUTH] Invalid credentials", Refusal(Fault.TOKEN, "AUTH")),
        # Microsoft
        ("Authentication failure: unknown user name or bad password.", Refusal(Fault.TOKEN)),
    ],
)
def test_pop(text, refusal):
    assert pop_refusal(f" {text}") == refusal


@pytest.mark.parametrize(
    ("reply", "text", "refusal"),
    [
        # Microsoft
        (535, "5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01]", Refusal(Fault.TOKEN, "535 5.7.3")),
        (
            535,
            "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            Refusal(Fault.SWITCHED_OFF, "535 5.7.139"),
        ),
        (
            535,
            "5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.",
            Refusal(Fault.SWITCHED_OFF, "535 5.7.139"),
        ),
        (454, "4.7.0 Temporary authentication failure", Refusal(Fault.UNAVAILABLE, "454 4.7.0")),
        # Google
        (535, "5.7.8 Username and Password not accepted", Refusal(Fault.TOKEN, "535 5.7.8")),
        (454, "4.7.0 Too many login attempts, please try again later.", Refusal(Fault.UNAVAILABLE, "454 4.7.0")),
        (421, "Service not available", Refusal(Fault.UNAVAILABLE, "421")),
        (-1, "", Refusal(Fault.UNAVAILABLE, "-1")),
    ],
)
def test_smtp(reply, text, refusal):
    assert smtp_refusal(reply, text) == refusal


@given(text=st.text(max_size=300), challenge=st.binary(max_size=100))
def test_whatever_is_said_no_sentence_of_a_server_becomes_a_code(text, challenge):
    for refusal in (
        imap_refusal(text, challenge),
        pop_refusal(text, challenge),
        smtp_refusal(535, text, challenge),
    ):
        assert len(refusal.code) <= 64
        assert "\n" not in refusal.code
