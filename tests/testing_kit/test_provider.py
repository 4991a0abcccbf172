"""The provider itself: what it records, what it hides, how it starts, stops and remembers."""

import contextlib
import datetime
import ipaddress
import json
import logging
import signal
import socket
import ssl
import subprocess
import sys
import threading
from html.parser import HTMLParser

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import CommandError, call_command

from mail_oauth.testing import commandline
from mail_oauth.testing.management.commands.fake_oauth_provider import Command
from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.refusals import Reason
from tests.testing_kit.client import REDIRECT_URI, Application, query_of


class TestTheRecord:
    def test_holds_every_call_and_no_secret(self, provider, application):
        reply = application.connect("oidc")
        application.refresh(reply["refresh_token"], "oidc", client_secret="wrong-secret")
        seen = [(call.endpoint, call.grant_type, call.status, call.error) for call in provider.calls]
        assert seen == [
            ("authorize", None, 200, None),
            ("consent", None, 302, None),
            ("token", "authorization_code", 200, None),
            ("token", "refresh_token", 401, "invalid_client"),
        ]
        assert {call.email for call in provider.token_calls()} == {"ada@example.com"}
        assert {call.client_id for call in provider.calls} == {provider.client_id}
        assert not any(secret in repr(provider.calls) for secret in provider.issued)

    def test_can_be_searched_and_cleared(self, provider, application):
        application.connect("oidc")
        assert len(provider.token_calls("authorization_code", personality="oidc", status=200)) == 1
        assert provider.token_calls("refresh_token") == []
        assert provider.token_calls(email="bob@example.com") == []
        provider.clear_calls()
        assert provider.calls == []

    def test_of_grants_says_what_each_account_holds(self, provider, application):
        kept = provider.grant("ada@example.com", "oidc", scope="mail offline_access")["refresh_token"]
        application.refresh(provider.grant("ada@example.com")["refresh_token"])
        provider.revoke("ada@example.com", "microsoft")
        oidc, microsoft = provider.tokens_of("ada@example.com")
        assert (oidc.scopes, oidc.ended, oidc.newest) == (("mail", "offline_access"), None, kept)
        assert (microsoft.personality, microsoft.ended, microsoft.newest) == ("microsoft", "revoked", None)
        assert kept not in repr(oidc)

    def test_is_a_copy(self, provider, application):
        application.connect("plain")
        provider.calls.clear()
        assert provider.calls

    def test_does_not_count_what_was_seeded(self, provider):
        provider.grant("ada@example.com")
        assert provider.calls == []

    def test_of_secrets_holds_all_that_went_to_and_fro(self, provider, application):
        request = application.ask("oidc")
        callback = provider.authorize(request.url)
        reply = application.redeem(request, callback, "oidc").json()
        fresh = application.refresh(reply["refresh_token"], "oidc").json()
        seeded = provider.grant("ada@example.com")
        tokens = {
            each[name] for each in (reply, fresh, seeded) for name in ("access_token", "refresh_token", "id_token")
        }
        sent = {request.state, request.nonce, request.verifier, query_of(callback)["code"], provider.client_secret}
        assert tokens | sent <= provider.issued
        assert "" not in provider.issued

    def test_of_secrets_can_be_left_out(self):
        with FakeProvider(keep_secrets=False) as provider:
            provider.grant("ada@example.com")
            assert provider.issued == frozenset()


class TestNoSecretEscapes:
    def test_into_a_repr(self, provider, application):
        application.connect("oidc")
        account = provider.add_account("bob@example.com")
        client = provider.add_client("other", "other-secret")
        store = provider._store
        shown = repr(
            [provider, account, client, store.codes, store.families, store.refresh_tokens, provider.policy]
        )
        assert not any(secret in shown for secret in provider.issued)

    def test_into_a_log_even_at_debug(self, provider, application, caplog, capfd):
        caplog.set_level(logging.DEBUG)
        reply = application.connect("oidc")
        application.refresh(reply["refresh_token"], "oidc")
        application.refresh(reply["refresh_token"], "oidc")
        provider.grant("ada@example.com")
        shown = caplog.text + "".join(capfd.readouterr())
        assert not any(secret in shown for secret in provider.issued)

    def test_but_others_who_log_through_oauthlib_still_do(self, provider, application, caplog):
        caplog.set_level(logging.DEBUG)
        application.connect("oidc")
        logging.getLogger("oauthlib.oauth2.rfc6749.grant_types.base").debug("somebody else's line")
        assert "somebody else's line" in caplog.text

    def test_into_a_failure_inside_the_provider(self, http, caplog, monkeypatch):
        with FakeProvider() as provider:
            secret = provider.grant("ada@example.com", "plain")["refresh_token"]
            monkeypatch.setattr(provider._store, "refresh_token", lambda token: {}[token])
            reply = Application(provider, http).refresh(secret, "plain")
        assert (reply.status_code, reply.json()) == (500, {"error": "server_error"})
        assert "KeyError" in caplog.text
        assert secret not in caplog.text


class TestItsLife:
    def test_it_listens_on_loopback_only(self, provider):
        assert provider.url.startswith("http://127.0.0.1:")
        assert provider._server.socket.getsockname()[0] == "127.0.0.1"

    def test_it_has_no_url_before_it_starts_and_after_it_stopped(self):
        provider = FakeProvider()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="start"):
                _ = provider.url
            assert "stopped" in repr(provider)
            provider.start()
            with pytest.raises(RuntimeError, match="already"):
                provider.start()
            provider.stop()
        provider.stop()

    def test_it_goes_on_with_its_memory_after_a_stop(self, http):
        provider = FakeProvider()
        with provider:
            token = provider.grant("ada@example.com")["refresh_token"]
        with provider:
            assert Application(provider, http).refresh(token).status_code == 200

    def test_it_ends_open_connections_and_threads_when_it_stops(self):
        before = set(threading.enumerate())
        with FakeProvider() as provider, requests.Session() as session:
            assert session.get(f"{provider.url}/healthz").json() == {"status": "ok"}
            url = provider.url
            provider.stop()
            with pytest.raises(requests.ConnectionError):
                session.get(f"{url}/healthz", timeout=2)
        assert set(threading.enumerate()) - before == set()

    def test_it_serves_tls_when_it_is_given_a_context(self, tmp_path):
        context, ca = self_signed(tmp_path)
        with FakeProvider(tls=context) as provider, requests.Session() as session:
            assert provider.url.startswith("https://127.0.0.1:")
            with pytest.raises(requests.exceptions.SSLError):
                session.get(f"{provider.url}/healthz", timeout=5)
            assert session.get(f"{provider.url}/healthz", verify=str(ca), timeout=5).ok
            application = Application(provider, session)
            assert provider.authorize(application.ask().url).startswith(REDIRECT_URI)

    def test_it_survives_clients_that_misbehave(self, provider, http):
        address = ("127.0.0.1", int(provider.url.rpartition(":")[2]))
        for line in (b"", b"NONSENSE\r\n\r\n", b"POST /oidc/token HTTP/1.1\r\nContent-Length: 99\r\n\r\nhalf"):
            with socket.create_connection(address) as raw:
                raw.sendall(line)
        with socket.create_connection(address) as raw:
            raw.sendall(b"POST /oidc/token HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n")
            assert raw.recv(64).startswith(b"HTTP/1.1 413 ")
        assert http.head(f"{provider.url}/healthz").status_code == 405
        assert http.get(f"{provider.url}/nowhere").status_code == 404
        assert http.get(f"{provider.url}/healthz").status_code == 200

    def test_it_needs_neither_django_nor_the_rest_of_mail_oauth(self):
        program = (
            "import sys, mail_oauth.testing.provider\n"
            "rest = [m for m in sys.modules if m.startswith('mail_oauth.') and not m.startswith('mail_oauth.testing')]\n"
            "assert not rest, rest\n"
            "assert 'django' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=30)

    def test_it_leaves_the_environment_alone(self, provider, application, monkeypatch):
        monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)
        assert application.connect("oidc")["access_token"]


def self_signed(folder):
    """A server context for 127.0.0.1, and the certificate that a client must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake provider")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    chain = folder / "chain.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, chain


class TestTheStateFile:
    def test_lets_the_next_provider_honour_the_grants_of_the_last(self, tmp_path, http):
        state = tmp_path / "state.json"
        with FakeProvider(state_file=state) as provider:
            provider.add_account("ada@example.com", name="Ada", subject="s-1")
            spent = provider.grant("ada@example.com", "oidc")["refresh_token"]
            reply = Application(provider, http).refresh(spent, "oidc").json()
        with FakeProvider(state_file=state) as provider:
            application = Application(provider, http)
            assert provider.knows("ada@example.com")
            assert provider.claims_of("ada@example.com", "oidc")["sub"] == "s-1"
            assert provider.is_valid_access_token(reply["access_token"])
            fresh = application.refresh(reply["refresh_token"], "oidc")
            assert fresh.status_code == 200
            assert application.refresh(spent, "oidc").json()["error"] == "invalid_grant"
            assert application.refresh(fresh.json()["refresh_token"], "oidc").status_code == 400, (
                "reuse was detected"
            )

    def test_holds_no_secret_and_is_for_its_owner_only(self, tmp_path, http):
        state = tmp_path / "state.json"
        with FakeProvider(state_file=state) as provider:
            Application(provider, http).connect("oidc")
            provider.grant("ada@example.com")
            issued = provider.issued
        text = state.read_text()
        assert not any(secret in text for secret in issued)
        assert state.stat().st_mode & 0o077 == 0
        assert [each.name for each in tmp_path.iterdir()] == ["state.json"], "no temporary file is left"

    @pytest.mark.parametrize("content", ["[]", '{"version": 99}'])
    def test_of_another_kind_is_refused_by_name(self, tmp_path, content):
        state = tmp_path / "state.json"
        state.write_text(content)
        with pytest.raises(ValueError, match=r"state\.json is no state file"):
            FakeProvider(state_file=state).start()


class TestAccounts:
    def test_keep_their_subject_when_their_address_changes(self, provider, application):
        before = provider.add_account("ada@old.example", subject="s-1")
        token = provider.grant("ada@old.example", "oidc")["refresh_token"]
        provider.add_account("ada@new.example", subject="s-1", tenant=before.tenant)
        assert provider.claims_of("ada@new.example", "oidc")["sub"] == "s-1"
        assert not provider.knows("ada@old.example")
        reply = application.refresh(token, "oidc").json()
        assert provider.is_valid_access_token(reply["access_token"], "ada@new.example")

    def test_that_share_a_recycled_address_are_different_people(self, provider, application):
        old = provider.grant("ada@example.com", "oidc")["refresh_token"]
        provider.add_account("ada@example.com", subject="somebody-new")
        provider.revoke("ada@example.com")
        assert application.refresh(old, "oidc").status_code == 200

    def test_that_are_unknown_are_named_in_the_error(self, provider):
        with pytest.raises(KeyError, match="add_account"):
            provider.revoke("nobody@example.com")

    def test_lose_their_grants_for_a_reason_of_ones_choice(self, provider, application):
        token = provider.grant("ada@example.com")["refresh_token"]
        provider.end_grants("ada@example.com", reason=Reason.EXPIRED)
        assert application.refresh(token).json()["error_codes"] == [700082]


class Page(HTMLParser):
    """What a reader of the page meets."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag, **wanted):
        return [seen for name, seen in self.tags if name == tag and wanted.items() <= seen.items()]


class TestTheConsentPage:
    @pytest.fixture
    def page(self, provider, application, http):
        def fetch(personality="microsoft", **changes):
            reply = http.get(application.ask(personality, **changes).url)
            assert reply.status_code == 200
            return reply

        return fetch

    @pytest.mark.parametrize(
        ("personality", "title"),
        [
            ("microsoft", "Fake Microsoft"),
            ("google", "Fake Google"),
            ("oidc", "Fake OpenID Connect"),
            ("plain", "Fake Plain OAuth"),
        ],
    )
    def test_says_who_asks_in_a_form_that_needs_no_script(self, provider, page, personality, title):
        reply = page(personality)
        seen = Page(reply.text)
        assert f"<title>{title}</title>" in reply.text
        assert seen.all("html", lang="en")
        assert seen.all("meta", name="viewport")
        assert provider.client_id in reply.text
        assert not seen.all("script")
        assert {each["value"] for each in seen.all("button", type="submit")} == {"allow", "deny"}

    def test_labels_every_control(self, page):
        reply = page()
        seen = Page(reply.text)
        labelled = {each["for"] for each in seen.all("label") if "for" in each}
        for control in seen.all("input"):
            around = f'value="{control.get("value")}"' in reply.text and control.get("type") in {
                "radio",
                "checkbox",
            }
            assert control.get("id") in labelled or around
        assert len(seen.all("legend")) == len(seen.all("fieldset")) == 2

    def test_preselects_the_hinted_account(self, provider, page):
        provider.add_account("bob@example.com")
        seen = Page(page(login_hint="bob@example.com").text)
        (checked,) = [each for each in seen.all("input", type="radio") if "checked" in each]
        assert checked["value"] == "bob@example.com"

    def test_fills_in_a_hint_that_it_does_not_know(self, page):
        seen = Page(page(login_hint="new@example.com").text)
        assert seen.all("input", type="email", value="new@example.com")
        assert not [each for each in seen.all("input", type="radio") if "checked" in each]

    def test_lists_at_most_twenty_accounts(self, provider, page):
        for number in range(30):
            provider.add_account(f"user{number}@example.com")
        seen = Page(page(login_hint="user29@example.com").text)
        radios = [each["value"] for each in seen.all("input", type="radio")]
        assert (len(radios), radios[0]) == (20, "user29@example.com")

    def test_escapes_everything(self, provider, page):
        provider.add_account('"><script>a@x.example', name="<script>b")
        reply = page(login_hint='"><script>c', scope='openid "><script>d', state='"><script>e')
        assert "<script" not in reply.text

    def test_may_not_be_framed_cached_or_scripted(self, page):
        headers = page().headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"

    def test_turns_a_typed_address_into_an_account(self, provider, application, http):
        form = {"new_account": "new@example.com", "decision": "allow", "scope": "mail"}
        reply = http.post(application.ask("oidc").url, data=form, allow_redirects=False)
        assert reply.status_code == 302
        assert provider.knows("new@example.com")

    def test_asks_again_when_nobody_was_chosen(self, application, http):
        reply = http.post(application.ask("oidc").url, data={"decision": "allow", "scope": "mail"})
        assert reply.status_code == 400
        assert "Choose an account" in reply.text

    def test_shows_an_error_page_instead_of_sending_the_user_astray(self, application, http):
        reply = http.get(application.ask(redirect_uri="https://evil.example/<b>").url)
        assert reply.status_code == 400
        assert Page(reply.text).all("p", role="alert")
        assert http.get(application.ask().url + "&x=%zz\\").status_code == 400

    def test_has_an_index(self, provider, http):
        reply = http.get(provider.url)
        assert reply.status_code == 200
        assert provider.urls("google")["authorize"] in reply.text


class TestDiscovery:
    @pytest.mark.parametrize("personality", ["microsoft", "google", "oidc"])
    def test_names_the_endpoints(self, provider, http, personality):
        urls = provider.urls(personality)
        document = http.get(urls["discovery"]).json()
        assert document["issuer"] == urls["issuer"]
        assert document["authorization_endpoint"] == urls["authorize"]
        assert document["token_endpoint"] == urls["token"]
        assert document["jwks_uri"] == urls["jwks"]
        assert document.get("revocation_endpoint") == urls.get("revoke")

    def test_of_a_single_tenant_names_that_tenant(self, provider, http):
        tenant = "11111111-2222-3333-4444-555555555555"
        document = http.get(provider.urls("microsoft", tenant)["discovery"]).json()
        assert document["issuer"] == f"{provider.url}/microsoft/{tenant}/v2.0"


class TestTheProgram:
    def read_url(self, process):
        return process.stdout.readline().rpartition(" ")[2].strip()

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_runs_until_it_is_told_to_stop(self, tmp_path, how, http):
        state = tmp_path / "state.json"
        options = [
            "--port",
            "0",
            "--access-token-seconds",
            "120",
            "--state",
            str(state),
            "--account",
            "ada@example.com",
        ]
        command = [sys.executable, "-m", "mail_oauth.testing", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            url = self.read_url(process)
            assert http.get(f"{url}/healthz").ok
            process.send_signal(how)
            output, errors = process.stdout.read(), process.stderr.read()
        assert (process.returncode, errors) == (0, "")
        assert "Client id: fake-provider-client" in output
        assert output.endswith("Stopped.\n")
        assert [each["email"] for each in json.loads(state.read_text())["accounts"]] == ["ada@example.com"]

    def test_adds_its_secrets_to_a_file_that_the_environment_names(self, tmp_path, monkeypatch):
        """As does a provider in this process: what both have issued is known in one place."""
        notes = tmp_path / "secrets"
        monkeypatch.setenv("FAKE_PROVIDER_SECRETS", str(notes))
        command = [
            sys.executable,
            "-u",
            "-m",
            "mail_oauth.testing",
            "--port",
            "0",
            "--client-secret",
            "of-the-program",
        ]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
            FakeProvider(client_secret="of-this-process") as here,
        ):
            assert "Client secret" in "".join(process.stdout.readline() for _ in range(3))
            reply = here.grant("ada@example.com")
            process.terminate()
        lines = [json.loads(line) for line in notes.read_text().splitlines()]
        assert ["client_secret", "of-the-program"] in lines
        assert ["refresh_token", reply["refresh_token"]] in lines
        assert here.issued <= {secret for _, secret in lines}

    def test_is_a_management_command_too(self, monkeypatch, capsys):
        monkeypatch.setattr(commandline, "_until_told_to_stop", _told_already)
        call_command(Command(), port=0, account=["ada@example.com"])
        assert "Fake OAuth provider: http://127.0.0.1:" in capsys.readouterr().out

    def test_says_when_the_port_is_taken(self, provider):
        port = int(provider.url.rpartition(":")[2])
        with pytest.raises(CommandError, match=f"port {port}"):
            call_command(Command(), port=port)
        command = [sys.executable, "-m", "mail_oauth.testing", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert f"port {port}" in done.stderr


@contextlib.contextmanager
def _told_already():
    told = threading.Event()
    told.set()
    yield told
