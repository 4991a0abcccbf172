"""What a crash in the middle of the flow would show: on the debug page, in the mail to admins, in the log."""

from __future__ import annotations

import logging
import sys

import pytest
from django.core.signals import got_request_exception
from django.views.debug import ExceptionReporter

from mail_oauth.exceptions import TransportError
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.refresh import engine
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from tests.fuzz.test_wire import Babbler
from tests.transport.conftest import quick

__all__ = ["quick"]
pytestmark = pytest.mark.django_db


class Crash(Exception):
    """What nobody expects."""


@pytest.fixture(params=[True, False], ids=["DEBUG", "production"])
def crash(request, surfer, provider, settings, monkeypatch):
    """Break a function of the flow, walk it, and return what would be shown: pages, and reports to admins."""
    settings.DEBUG = request.param
    settings.DEBUG_PROPAGATE_EXCEPTIONS = False
    monkeypatch.setattr(engine, "SAVE_PAUSES", ())
    reports = []

    def report(request, **_):
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])

    def crash(where, alias="keycloak"):
        def broken(*args, **kwargs):
            raise Crash

        callback = surfer.consent(surfer.start(alias), "ada@example.com")
        surfer.client.raise_request_exception = False
        got_request_exception.connect(report)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(where, broken)
                reply = surfer.follow(callback)
        finally:
            got_request_exception.disconnect(report)
        assert reply.status_code == 500
        return "".join([*reports, reply.content.decode()])

    return crash


STAGES = [
    "mail_oauth.views.parse_answer",
    "mail_oauth.connect.answers.QueryDict",
    "mail_oauth.connect.attempts._digest",
    "mail_oauth.connect.complete.open_secret",
    "mail_oauth.transport.calls.TokenEndpoint._authentication",
    "mail_oauth.refresh.verdicts.parse_tokens",
    "mail_oauth.connect.complete._check_grant",
    "mail_oauth.providers.contract.verified_claims",
    "mail_oauth.connect.complete._with_address",
    "mail_oauth.connect.linking._existing",
    "mail_oauth.connect.linking._changes",
    "mail_oauth.sealing.Keyring.seal",
    "mail_oauth.managers.transitions.Transitions.record",
    "mail_oauth.cache.TokenCache.put",
    "mail_oauth.views.after_connecting",
]


@pytest.mark.parametrize(
    ("alias", "where"),
    [
        *(("keycloak", where) for where in STAGES),
        ("google", "mail_oauth.connect.complete._check_grant"),
        ("microsoft", "mail_oauth.connect.complete._check_grant"),
    ],
)
def test_no_page_and_no_report_shows_a_secret(crash, provider, where, alias):
    """Not even the code and the state, which stood in the URL of the request."""
    before = provider.issued
    shown = crash(where, alias)
    assert "Crash" in shown
    leaked = {secret for secret in provider.issued if secret in shown}
    fresh = {secret for secret in leaked if secret not in before or secret == provider.client_secret}
    assert not {secret[:12] for secret in fresh}


def test_a_refused_connect_logs_no_secret(surfer, provider, caplog):
    caplog.set_level(logging.DEBUG)
    for fault in (Fault.close(), Fault.html(502), Fault.reply_with(scope="openid"), Fault.bom()):
        callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
        with provider.fault(fault):
            assert "refused" in surfer.follow(callback)["Location"]
    text = caplog.text + "".join(str(record.__dict__) for record in caplog.records if "mail_oauth" in record.name)
    # The request line of a development server or of an access log is not this app's.
    assert not {secret[:12] for secret in provider.issued if secret in text}


@pytest.mark.parametrize("header", ["canary without a colon", " canary folded", ": canary", "X\x00canary: y"])
def test_headers_that_cannot_be_read_are_not_logged(quick, caplog, header):
    """urllib3 would log them, whole, with a traceback whose frames an error tracker would print."""
    caplog.set_level(logging.DEBUG)
    server = Babbler()
    answer = f"HTTP/1.1 200 OK\r\n{header}\r\nX: canary\r\n\r\n{{}}".encode()
    assert server.holds(answer) == "reset"
    server.close()
    assert "canary" not in caplog.text


def test_the_fault_of_a_call_does_not_carry_its_request(provider):
    """Error trackers walk the chain of causes, whether it is suppressed or not."""
    endpoint = provider_for("keycloak").token_endpoint()
    with provider.fault(Fault.close()), pytest.raises(TransportError) as caught:
        endpoint.redeem(Secret("canary"), redirect_uri="http://testserver/", code_verifier=Secret("canary"))
    error: BaseException | None = caught.value
    while error is not None:
        assert not hasattr(error, "request"), type(error)
        error = error.__cause__ or error.__context__


def test_a_userinfo_that_fails_puts_no_frame_into_the_log(surfer, provider, caplog):
    """Its frames hold the access token, and a tracker or a mail to admins prints the locals of frames."""
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    with (
        provider.fault(provider.id_token_fault({"email": None})),
        provider.fault(Fault.close(), endpoint="userinfo"),
    ):
        assert "provider_unavailable" in surfer.follow(callback)["Location"]
    records = [record for record in caplog.records if record.name.startswith("mail_oauth.connect")]
    assert records
    assert not [record for record in records if record.exc_info]


def test_a_start_that_crashes_shows_neither_state_nor_verifier(surfer, monkeypatch):
    """To admins, that is: in the report of production."""
    word = "canary"
    monkeypatch.setattr("secrets.token_urlsafe", lambda _size: word * 10)
    monkeypatch.setattr("mail_oauth.connect.attempts._make_room", lambda _user: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        surfer.start("keycloak")
    page = ExceptionReporter(None, caught.type, caught.value, caught.tb).get_traceback_html()
    assert "attempts.py" in page
    assert word * 2 not in page
    assert not MailCredentials.objects.exists()
