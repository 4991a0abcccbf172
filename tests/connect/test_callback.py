"""What arrives at the callback: 1 to 15 of `tests/losses/faults.py`, by number."""

from __future__ import annotations

import threading
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from django.db import connection, connections
from django.test import Client
from django.urls import reverse

from mail_oauth.connect.answers import LONGEST_QUERY, MOST_PARAMETERS
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.models import ConnectAttempt, MailCredentials

pytestmark = pytest.mark.django_db


def changed(url: str, **parameters: str | None) -> str:
    """The URL with query parameters replaced, or removed where None."""
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **parameters}
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


@pytest.fixture
def answer(surfer) -> str:
    """A valid callback of Microsoft, not followed yet."""
    return surfer.consent(surfer.start(), "ada@example.com")


@pytest.fixture
def token_calls(provider):
    """How many calls the token endpoint has had since."""
    before = len(provider.token_calls())
    return lambda: len(provider.token_calls()) - before


@pytest.mark.parametrize("state", [None, "", "x", "A" * 64, "A" * 5000, "a b" * 20, "\x00" * 20])
def test_01_no_empty_or_wrong_state(surfer, answer, token_calls, state):
    reply = surfer.follow(changed(answer, state=state))
    assert reply.status_code == 400
    assert token_calls() == 0
    assert ConnectAttempt.objects.count() == 1


def test_02_a_replay_is_refused_and_the_grant_untouched(surfer, answer, token_calls):
    surfer.follow(answer)
    row = MailCredentials.objects.get()
    assert surfer.follow(answer).status_code == 400
    assert token_calls() == 1
    assert MailCredentials.objects.get().generation == row.generation


@pytest.mark.django_db(transaction=True)
def test_03_two_identical_callbacks_at_once_are_one_exchange(surfer, answer, token_calls):
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("threads cannot share SQLite in memory; runs on the other databases")
    session = surfer.client.cookies["sessionid"].value
    barrier, replies = threading.Barrier(4), []

    def follow() -> None:
        client = Client()
        client.cookies["sessionid"] = session
        barrier.wait()
        replies.append(client.get(answer).status_code)
        connections.close_all()

    threads = [threading.Thread(target=follow) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(replies) == [302, 400, 400, 400]
    assert token_calls() == 1
    assert MailCredentials.objects.count() == 1


def test_04_a_valid_state_in_another_users_session(surfer, answer, browser_of, other_user, token_calls):
    assert browser_of(other_user).follow(answer).status_code == 400
    assert token_calls() == 0
    assert surfer.follow(answer).status_code == 302  # its owner has not lost it


def test_04_a_valid_state_in_another_browser_of_the_same_user(surfer, answer, browser_of, token_calls):
    assert browser_of(surfer.user).follow(answer).status_code == 400
    assert token_calls() == 0


def test_05_anonymous_at_the_callback(client, answer, token_calls):
    assert client.get(answer).status_code == 400
    assert token_calls() == 0


def test_06_an_expired_state_and_a_flushed_session(surfer, answer, token_calls):
    ConnectAttempt.objects.update(expires_at="2000-01-01T00:00:00Z")
    reply = surfer.follow(answer)
    assert reply.status_code == 400
    assert b"start again" in reply.content
    fresh = surfer.consent(surfer.start(), "ada@example.com")
    surfer.client.logout()
    surfer.client.force_login(surfer.user)
    assert surfer.follow(fresh).status_code == 400
    assert token_calls() == 0


def test_07_one_providers_code_at_anothers_callback(surfer, answer, token_calls):
    elsewhere = answer.replace("/callback/microsoft/", "/callback/keycloak/")
    assert surfer.follow(elsewhere).status_code == 400
    assert token_calls() == 0


@pytest.mark.parametrize("iss", ["https://evil.example", None])
def test_08_a_foreign_or_missing_issuer(surfer, token_calls, iss):
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    assert "iss" in parse_qs(urlsplit(callback).query)
    reply = surfer.follow(changed(callback, iss=iss))
    assert reply["Location"].endswith("/refused/keycloak/wrong_issuer/")
    assert token_calls() == 0


@pytest.mark.parametrize("description", ["<script>alert(1)</script>", "x" * 10_000, "a\r\nSet-Cookie: b=c"])
def test_09_denial_shows_a_fixed_text(surfer, caplog, description):
    surfer.connect()
    before = MailCredentials.objects.get()
    callback = surfer.consent(surfer.start(), "ada@example.com", deny=True)
    reply = surfer.follow(changed(callback, error_description=description))
    page = surfer.client.get(reply["Location"])
    assert b"You did not allow access" in page.content
    assert description[:20].encode() not in page.content
    assert description[:20] not in caplog.text
    assert MailCredentials.objects.get().generation == before.generation


def test_10_both_neither_or_doubled(surfer, answer, token_calls):
    for query in (
        changed(answer, error="access_denied"),
        changed(answer, code=None),
        answer + "&code=another",
        answer + "&state=another",
        answer + "&iss=a&iss=b",
    ):
        assert surfer.follow(query).status_code == 400, query
    assert token_calls() == 0
    assert ConnectAttempt.objects.count() == 1


@pytest.mark.parametrize(
    "extra",
    [
        "&code=x",
        "&%63ode=x",
        "&c%6Fde=",
        "&code",
        "&stat%65=x",
        "&s%74ate=",
        "&error=&error=",
        "&is%73=a&iss=a",
    ],
)
def test_10_doubled_in_any_spelling(surfer, answer, token_calls, extra):
    for query in (answer + extra, answer.replace("?", "?" + extra[1:] + "&")):
        assert surfer.follow(query).status_code == 400, query
    assert token_calls() == 0
    assert ConnectAttempt.objects.count() == 1


@pytest.mark.parametrize(
    "extra", ["&Code=x", "&code[]=x", "&code%00=x", "&code =x", "&xcode=y", "&session_state=a;b=c"]
)
def test_10_other_parameters_are_other_parameters(surfer, answer, extra):
    assert surfer.follow(answer + extra).status_code == 302
    assert MailCredentials.objects.exists()


@pytest.mark.parametrize("between", [";", "%26", "&amp;", "+", "\t", "|"])
def test_10_a_separator_that_is_none_makes_no_second_parameter(surfer, token_calls, between):
    """What another parser would read as state and code is one malformed value here."""
    callback = surfer.consent(surfer.start(), "ada@example.com")
    state = parse_qs(urlsplit(callback).query)["state"][0]
    joined = f"/mail/callback/microsoft/?state={state}{between}code=x"
    assert surfer.follow(joined).status_code == 400
    assert token_calls() == 0
    assert ConnectAttempt.objects.count() == 1


def test_11_an_unknown_error_is_a_generic_message(surfer, answer):
    reply = surfer.follow(changed(answer, code=None, error="<b>odd</b>"))
    assert reply["Location"].endswith("/refused/microsoft/provider_error/")
    assert b"odd" not in surfer.client.get(reply["Location"]).content


@pytest.mark.parametrize("code", ["x" * 8192, "a\x00b", "a\nb", "é"])
def test_12_a_malformed_code(surfer, answer, token_calls, code):
    assert surfer.follow(changed(answer, code=code)).status_code == 400
    assert token_calls() == 0


def test_12_a_code_that_is_not_utf8(surfer, answer):
    assert surfer.follow(changed(answer, code=None) + "&code=%ff%fe").status_code == 400


@pytest.mark.parametrize("charset", ["idna", "utf-7", "utf-16", "utf-32", "cp037", "unicode_escape", "shift_jis"])
def test_12_whatever_charset_a_header_names(surfer, answer, token_calls, charset):
    """Django would read the query in it. (Of a few, as zlib, it makes a 500 before any view is asked.)"""
    headers = {"CONTENT_TYPE": f"text/plain; charset={charset}"}
    assert surfer.client.get(changed(answer, state="A" * 64), **headers).status_code == 400
    assert token_calls() == 0
    assert surfer.client.get(answer, **headers).status_code == 302
    assert MailCredentials.objects.exists()


@pytest.mark.parametrize(
    "byte", ["%00", "%0a", "%0d%0a", "%7f", "%80", "%c3", "%ed%a0%80", "%f0%9f%98%80", "%EF%BC%81", "\x80"]
)
@pytest.mark.parametrize("name", ["state", "code", "error", "iss"])
def test_12_an_odd_byte_anywhere(surfer, answer, token_calls, name, byte):
    known = parse_qs(urlsplit(answer).query).get(name, [""])[0]
    base = changed(answer, **{name: None})
    reply = surfer.client.get(f"{base}&{name}={known[:20]}{byte}{known[20:]}")
    assert reply.status_code in {302, 400}
    assert reply.status_code == 400 or "/refused/" in reply["Location"]
    assert token_calls() == 0


def test_12_a_query_of_any_length(surfer, answer, token_calls):
    for extra in ("&x=" + "y" * LONGEST_QUERY, "&x" * MOST_PARAMETERS, "&" * MOST_PARAMETERS, "&x=y" * 100_000):
        assert surfer.follow(answer + extra).status_code == 400
    assert token_calls() == 0
    room = LONGEST_QUERY - len(urlsplit(answer).query) - 3
    assert surfer.follow(answer + "&x=" + "y" * room).status_code == 302


def test_13_other_methods_and_prefetch_leave_the_state(surfer, answer, token_calls):
    assert surfer.client.post(answer).status_code == 405
    assert surfer.client.head(answer).status_code == 405
    assert surfer.client.get(answer, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 405
    assert token_calls() == 0
    assert surfer.follow(answer).status_code == 302


@pytest.mark.parametrize(
    "dest", ["image", "script", "iframe", "empty", "style", "embed", "object", "Worker", "x", ""]
)
def test_13_what_is_no_page_spends_nothing(surfer, answer, token_calls, dest):
    """A prefetch that says nothing of its purpose, an image, a frame: none is the user's own visit."""
    assert surfer.follow(answer, **{"Sec-Fetch-Dest": dest}).status_code == 405
    assert token_calls() == 0
    assert (
        surfer.follow(answer, **{"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}).status_code == 302
    )


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https:evil.example", "\\\\evil.example", "javascript:alert(1)", "https://evil.example/"],
)
def test_14_a_next_that_leads_elsewhere(surfer, target):
    assert surfer.connect(next=target)["Location"] == reverse("mail_oauth:mailboxes")


def test_14_a_next_of_this_site(surfer):
    assert surfer.connect(next="/inbox/?page=2")["Location"] == "/inbox/?page=2"


def test_14_a_next_is_checked_again_at_use(surfer, answer):
    ConnectAttempt.objects.update(next_url="https://evil.example/")
    assert surfer.follow(answer)["Location"] == reverse("mail_oauth:mailboxes")


class TestSpoofedHost:
    """15."""

    def sent(self, client: Client, **headers: str) -> str:
        reply = client.post(reverse("mail_oauth:start", args=["microsoft"]), headers=headers)
        return parse_qs(urlsplit(reply["Location"]).query)["redirect_uri"][0]

    def test_a_host_that_is_not_ours_is_refused(self, surfer):
        reply = surfer.client.post(
            reverse("mail_oauth:start", args=["microsoft"]), headers={"host": "evil.example"}
        )
        assert reply.status_code == 400

    @pytest.mark.parametrize(
        "host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "", "a b"]
    )
    @pytest.mark.parametrize("bare", [True, False])
    def test_at_the_callback_it_spends_nothing(self, surfer, answer, token_calls, settings, host, bare):
        """With no middleware of Django's that would look at it first, either."""
        if bare:
            settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "CommonMiddleware" not in name]
        browser = Client()  # with the middleware of these settings
        browser.cookies = surfer.client.cookies
        assert browser.get(answer, headers={"host": host}).status_code == 400
        assert token_calls() == 0
        assert browser.get(answer).status_code == 302

    def test_a_forwarded_host_changes_nothing(self, surfer):
        uri = self.sent(surfer.client, **{"X-Forwarded-Host": "evil.example"})
        assert uri == "http://testserver/mail/callback/microsoft/"

    def test_base_url_stands_over_every_host(self, surfer, settings):
        settings.ALLOWED_HOSTS = ["*"]
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BASE_URL": "https://site.example/"}
        assert self.sent(surfer.client, host="evil.example") == "https://site.example/mail/callback/microsoft/"

    def test_without_either_nothing_is_sent(self, surfer, settings):
        settings.ALLOWED_HOSTS = ["*"]
        with pytest.raises(ConfigurationError, match="BASE_URL"):
            surfer.client.post(reverse("mail_oauth:start", args=["microsoft"]))


class TestPages:
    def test_start_is_post_with_csrf(self, user, provider):
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        url = reverse("mail_oauth:start", args=["microsoft"])
        assert client.get(url).status_code == 405
        assert client.post(url).status_code == 403

    def test_the_callbacks_reply_leaks_nothing(self, surfer, answer):
        reply = surfer.follow(answer)
        assert reply["Referrer-Policy"] == "no-referrer"
        assert "no-store" in reply["Cache-Control"]
        assert reply["X-Frame-Options"] == "DENY"
        assert "code=" not in reply["Location"]

    def test_what_lies_in_the_table_opens_nothing(self, surfer, answer):
        query = parse_qs(urlsplit(answer).query)
        row = ConnectAttempt.objects.values_list().get()
        assert query["state"][0] not in str(row)

    def test_the_views_are_outside_request_transactions(self):
        from mail_oauth.urls import urlpatterns

        for pattern in urlpatterns:
            assert "default" in pattern.callback._non_atomic_requests
