"""The callback's query is taken out of its request before anything can fail that would show it."""

from __future__ import annotations

import pytest
from django.core.exceptions import DisallowedHost
from django.test import AsyncRequestFactory, RequestFactory
from django.views.debug import technical_500_response

from mail_oauth.redaction import HIDDEN
from mail_oauth.redaction.reports import ScrubbedExceptionReporter
from mail_oauth.redaction.requests import redirect_privately, take_query, takes_query
from mail_oauth.tokens import Secret

TICKET = "hushhush"
ODD = f"&ticket={TICKET}&x='<ü"
CODE, STATE = "4/0AVGzR1-hushhush*code", "hushhush-state-0123456789"
QUERY = f"code={CODE.replace('/', '%2F')}&state={STATE}&iss=https%3A%2F%2Fissuer&scope=a+b"
SHOWN = f"code={HIDDEN}&state={HIDDEN}&iss={HIDDEN}&scope={HIDDEN}"
SERVERS = {
    "RAW_URI": f"/callback/?{QUERY}",
    "REQUEST_URI": f"/callback/?{QUERY}",
    "HTTP_REFERER": f"https://p/?state={STATE}",
}


def by_wsgi():
    return RequestFactory().get(f"/callback/?{QUERY}", **SERVERS)


def by_asgi():
    return AsyncRequestFactory().get(f"/callback/?{QUERY}", headers={"referer": SERVERS["HTTP_REFERER"]})


def everything_of(request) -> str:
    scope = {name: value for name, value in getattr(request, "scope", {}).items() if name != "headers"}
    parts = [request.META, request.GET, request.get_full_path(), request.build_absolute_uri(), scope]
    return f"{request!r} {parts}"


@pytest.mark.parametrize("made", [by_wsgi, by_asgi])
@pytest.mark.parametrize("looked_at_before", [False, True])
def test_it_shows_nothing_any_more_and_comes_whole(made, looked_at_before):
    request = made()
    if looked_at_before:
        assert request.GET["state"] == STATE
        assert STATE in everything_of(request)
    query = take_query(request)
    assert query.reveal() == QUERY
    shown = everything_of(request)
    assert STATE not in shown
    assert "hushhush" not in shown
    assert request.META["QUERY_STRING"] == SHOWN
    assert request.GET["iss"] == HIDDEN
    assert take_query(request).reveal() == SHOWN


@pytest.mark.parametrize("query", ["", "x", "error=access_denied", "code", "&&", "code=%ff%zz&state=\x00", "é=ü"])
def test_any_query_is_taken(query):
    request = RequestFactory().get("/callback/")
    request.META["QUERY_STRING"] = query
    assert take_query(request).reveal() == query
    assert "%ff" not in repr(request)


@pytest.mark.parametrize("query", ["a", "80", "http", "/"])
def test_a_short_query_is_taken_out_of_nothing_else(query):
    request = RequestFactory().get(
        f"/a/80/?{query}",
        REQUEST_URI=f"/a/80/?{query}",
        REDIRECT_QUERY_STRING=query,
        HTTP_HOST="a.example:80",
        HTTP_COOKIE="a=80",
        HTTP_REFERER="http://a.example/80",
    )
    before = dict(request.META)
    assert take_query(request).reveal() == query
    changed = {name for name, value in before.items() if request.META[name] is not value}
    assert {"QUERY_STRING", "REQUEST_URI", "REDIRECT_QUERY_STRING"} <= changed
    assert changed <= {"QUERY_STRING", "REQUEST_URI", "REDIRECT_QUERY_STRING", "HTTP_REFERER"}
    assert request.META["REQUEST_URI"] == f"/a/80/?{request.META['QUERY_STRING']}"
    assert request.META["HTTP_REFERER"] == "http://a.example/80"
    assert request.META["REDIRECT_QUERY_STRING"] == request.META["QUERY_STRING"] != query


@pytest.mark.parametrize("debug", [True, False])
def test_no_page_of_a_view_that_fails_shows_it(debug, settings):
    settings.DEBUG = debug

    @takes_query
    def failing(request, query: Secret):
        raise ZeroDivisionError(len(query))

    request = by_wsgi()
    with pytest.raises(ZeroDivisionError) as caught:
        failing(request)
    page = technical_500_response(request, caught.type, caught.value, caught.tb).content.decode()
    assert "ZeroDivisionError" in page
    assert f"code={HIDDEN}" in page
    assert STATE not in page
    assert CODE not in page


@pytest.mark.parametrize("made", [by_wsgi, by_asgi])
def test_a_report_of_what_failed_before_the_view(made, settings):
    """Where the site has chosen this app's reporter: in a middleware, say, with a token in a local of its own."""
    settings.DEBUG = True
    settings.DEFAULT_EXCEPTION_REPORTER = "mail_oauth.redaction.reports.ScrubbedExceptionReporter"
    request = made()

    def middleware() -> None:
        headers = {"Authorization": "Bearer " + STATE[::-1]}
        raise DisallowedHost(len(headers))

    with pytest.raises(DisallowedHost) as caught:
        middleware()
    page = technical_500_response(request, caught.type, caught.value, caught.tb).content.decode()
    text = ScrubbedExceptionReporter(request, caught.type, caught.value, caught.tb).get_traceback_text()
    for report in (page, text):
        assert "DisallowedHost" in report
        assert f"code={HIDDEN}" in report
        for secret in (STATE, CODE, STATE[::-1]):
            assert secret not in report


@pytest.mark.parametrize("made", [by_wsgi, by_asgi])
def test_a_report_of_a_line_of_the_log_changes_no_request_that_goes_on(made):
    request = made()
    before = dict(request.META)
    text = ScrubbedExceptionReporter(request, None, None, None, is_email=True).get_traceback_text()
    assert f"code={HIDDEN}" in text
    assert STATE not in text
    assert (request.GET["state"], request.META) == (STATE, before)
    assert take_query(request).reveal() == QUERY


def test_a_report_leaves_the_body_to_the_view():
    request = RequestFactory().post(f"/callback/?{QUERY}", {"field": "value"})
    ScrubbedExceptionReporter(request, None, None, None).get_traceback_text()
    assert request.POST["field"] == "value"


@pytest.mark.parametrize("made", [by_wsgi, by_asgi])
def test_a_report_shows_the_query_of_no_request_among_the_locals(made):
    request = made()
    request.META["QUERY_STRING"] += ODD

    def middleware(request) -> None:
        raise DisallowedHost

    with pytest.raises(DisallowedHost) as caught:
        middleware(request)
    reporter = ScrubbedExceptionReporter(request, caught.type, caught.value, caught.tb)
    for report in (reporter.get_traceback_html(), reporter.get_traceback_text()):
        assert "DisallowedHost" in report
        assert TICKET not in report


def test_a_redirect_to_a_provider_shows_its_url_to_the_browser_alone():
    url = f"https://provider.example/authorize?state={STATE}"
    response = redirect_privately(Secret(url))
    assert response["Location"] == url
    assert response.status_code == 302
    assert STATE not in repr(response)


def test_a_url_that_is_none_is_refused_without_a_word_of_it():
    with pytest.raises(Exception, match="protocol") as caught:
        redirect_privately(Secret(f"gopher://x/?state={STATE}"))
    assert STATE not in str(caught.value)
