"""The filter that a site puts on its handlers, and what others write without one."""

from __future__ import annotations

import contextlib
import http.client
import imaplib
import io
import json
import logging
import logging.config
import poplib
import smtplib
import socketserver
import threading
from collections.abc import Iterator

import pytest

from mail_oauth.redaction import HIDDEN, RedactSecrets, hide_secrets_in_logs, scrub
from mail_oauth.redaction.logs import FILTERS
from mail_oauth.tokens import Secret
from tests.redaction.test_text import sasl

CANARY = "canary-0123456789-in-the-open"


class AsJson(logging.Formatter):
    """What a formatter of structured logs makes: the message, the error, and every extra."""

    def format(self, record: logging.LogRecord) -> str:
        super().format(record)
        return json.dumps({name: str(value) for name, value in vars(record).items() if name != "exc_info"})


@pytest.fixture(params=[logging.Formatter, AsJson], ids=["text", "json"])
def log(request) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A site's logger with the filter on its handler, as the README has it, and what was written."""
    written = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"no_secrets": {"()": "mail_oauth.redaction.RedactSecrets"}},
            "formatters": {"chosen": {"()": request.param}},
            "handlers": {
                "written": {
                    "class": "logging.StreamHandler",
                    "stream": written,
                    "filters": ["no_secrets"],
                    "formatter": "chosen",
                }
            },
            "loggers": {"a_site": {"handlers": ["written"], "level": "DEBUG", "propagate": False}},
        }
    )
    logger = logging.getLogger("a_site")
    yield logger, written
    logger.handlers.clear()


class TestTheFilter:
    def test_hides_what_a_template_and_its_arguments_say_together(self, log):
        logger, written = log
        logger.info("Authorization: Bearer %s", CANARY)
        logger.info("POST %s", {"refresh_token": CANARY})
        logger.info("refresh_token=%(token)s", {"token": CANARY})
        assert written.getvalue().count(HIDDEN) >= 3
        assert CANARY not in written.getvalue()

    def test_hides_it_in_extras_errors_and_stacks(self, log):
        logger, written = log
        try:
            raise ValueError(f"no such thing: ?access_token={CANARY}")
        except ValueError:
            logger.exception("failed", extra={"url": f"/?code={CANARY}&state={CANARY}"}, stack_info=True)
        logger.error(f"token={CANARY}", stack_info=True)  # noqa: G004
        assert "ValueError" in written.getvalue()
        assert CANARY not in written.getvalue()

    def test_leaves_other_records_as_they_were(self, log):
        logger, written = log
        record = logger.makeRecord("a_site", logging.INFO, __file__, 1, "status_code=%d", (200,), None)
        assert RedactSecrets().filter(record)
        assert (record.msg, record.args) == ("status_code=%d", (200,))
        logger.handle(record)
        assert "status_code=200" in written.getvalue()

    def test_lets_a_record_that_cannot_be_formatted_pass(self):
        record = logging.LogRecord("x", logging.INFO, __file__, 1, "%d of %d", ("one",), None)
        assert RedactSecrets().filter(record)
        assert record.msg == "%d of %d"


class TestLoggersOfOthers:
    @pytest.mark.parametrize("name", FILTERS)
    def test_have_their_filter_once(self, name):
        hide_secrets_in_logs()
        assert [type(each) for each in logging.getLogger(name).filters].count(FILTERS[name]) == 1

    def test_the_development_servers_request_line(self, caplog):
        caplog.set_level(logging.INFO)
        logger = logging.getLogger("django.server")
        logger.addHandler(caplog.handler)
        with contextlib.closing(caplog.handler):
            logger.info('"%s" %s %s', f"GET /mail/callback/google/?code={CANARY}&state={CANARY} HTTP/1.1", 302, 0)
        logger.removeHandler(caplog.handler)
        assert f"?code={HIDDEN}&state={HIDDEN} HTTP/1.1" in caplog.text

    def test_a_url_with_a_secret_in_urllib3(self, caplog):
        caplog.set_level(logging.DEBUG)
        logging.getLogger("urllib3.connectionpool").debug(
            '%s "GET %s" %d', "https://x:443", f"/?token={CANARY}", 200
        )
        assert HIDDEN in caplog.text
        assert CANARY not in caplog.text


def test_http_client_prints_nothing_of_our_calls(provider, monkeypatch, capsys):
    """`HTTPConnection.debuglevel = 1` is how many a developer looks at requests; it prints bodies to stdout."""
    from mail_oauth.providers import provider_for
    from mail_oauth.transport import fetch_json
    from mail_oauth.transport.pool import forget_pool

    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    forget_pool()
    provider_for("keycloak").token_endpoint().refresh(Secret("what-was-sent-to-the-provider"))
    fetch_json(provider.urls("oidc")["userinfo"], bearer=Secret("what-was-sent-to-the-provider"))
    forget_pool()
    assert capsys.readouterr().out == ""


# --- what the mail clients of the standard library print when they are told to ---


class Mail(socketserver.StreamRequestHandler):
    """A mail server that agrees to everything."""

    def handle(self) -> None:
        self.wfile.write(self.server.greeting)  # type: ignore[attr-defined]
        while line := self.rfile.readline():
            self.wfile.write(self.server.answer(line))  # type: ignore[attr-defined]


@contextlib.contextmanager
def mail_server(greeting, answer) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as server:
        server.greeting, server.answer, server.daemon_threads = greeting, answer, True  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def by_smtp(blob: str) -> None:
    def answer(line: bytes) -> bytes:
        if line.upper().startswith(b"EHLO"):
            return b"250-here\r\n250 AUTH XOAUTH2\r\n"
        return b"235 welcome\r\n" if line.startswith(b"AUTH") else b"221 bye\r\n"

    with mail_server(b"220 here\r\n", answer) as port, smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.set_debuglevel(2)
        client.ehlo()
        client.docmd("AUTH", f"XOAUTH2 {blob}")


def by_imap(blob: str) -> None:
    def answer(line: bytes) -> bytes:
        tag, _, rest = line.partition(b" ")
        if rest.startswith(b"CAPABILITY"):
            return b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n" + tag + b" OK done\r\n"
        if rest.startswith(b"AUTHENTICATE"):
            Mail.tag = tag  # type: ignore[attr-defined]
            return b"+ \r\n"
        if rest.startswith(b"LOGOUT"):
            return b"* BYE\r\n" + tag + b" OK done\r\n"
        return Mail.tag + b" OK welcome\r\n"  # type: ignore[attr-defined]

    import base64

    with mail_server(b"* OK here\r\n", answer) as port:
        client = imaplib.IMAP4("127.0.0.1", port, timeout=5)
        client.debug = 5
        client.authenticate("XOAUTH2", lambda _: base64.b64decode(blob))
        client.logout()


def by_pop(blob: str) -> None:
    with mail_server(b"+OK here\r\n", lambda line: b"+ \r\n" if line.startswith(b"AUTH") else b"+OK\r\n") as port:
        client = poplib.POP3("127.0.0.1", port, timeout=5)
        client.set_debuglevel(2)
        client._shortcmd("AUTH XOAUTH2")
        client._shortcmd(blob)
        client.quit()


@pytest.mark.parametrize("client", [by_smtp, by_imap, by_pop])
def test_mail_clients_debug_output_scrubbed_holds_no_token(client, capsys):
    blob = sasl("ada@example.com", CANARY * 4)
    client(blob)
    printed = "".join(capsys.readouterr())
    assert "XOAUTH2" in printed
    assert client is by_imap or blob in printed, "what this test is about"  # imaplib keeps it to itself
    for piece in (blob[40:80], blob[-40:], CANARY):
        assert piece not in scrub(printed)
