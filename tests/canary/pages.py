"""Every response of our site, whoever asked for it, and what would be shown and told of a request that crashed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from django.core.handlers.base import BaseHandler
from django.core.signals import got_request_exception

from tests.canary.errors import shown, shown_value
from tests.canary.spool import Spool

CARRIED = ("state", "nonce")
"""What stands in the open in one place: the redirect with which a consent begins, for the browser to take to the
provider (RFC 6749 §4.1.1, OIDC Core §3.1.2.1). Not the verifier, of which there is only the hash (RFC 7636 §4.3)."""


BEGINNINGS = ("mail_oauth:start", "mail_oauth:reconnect")
"""The views that begin one."""


def tap(spool: Spool, around: Callable[..., None]) -> None:
    """Read each response before it leaves Django's handler: of the test client, a live server, the demo."""

    def asked(true: Any) -> Any:
        def get_response(self: Any, request: Any) -> Any:
            response = true(self, request)
            _keep(spool, request, response)
            return response

        return get_response

    def awaited(true: Any) -> Any:
        async def get_response_async(self: Any, request: Any) -> Any:
            response = await true(self, request)
            _keep(spool, request, response)
            return response

        return get_response_async

    def crashed(request: Any = None, **_: Any) -> None:
        _keep_crash(spool, request)

    around(BaseHandler, "get_response", asked)
    around(BaseHandler, "get_response_async", awaited)
    got_request_exception.connect(crashed, weak=False, dispatch_uid="tests.canary")


def _keep(spool: Spool, request: Any, response: Any) -> None:
    headers = dict(response.items())
    match = request.resolver_match
    if match is not None and match.view_name in BEGINNINGS and "Location" in headers:
        headers["Location"] = _without_what_is_carried(spool, headers["Location"])
    spool.write("responses", f"{response.status_code} {headers} {response.cookies.output()}")
    spool.write("responses", b"" if response.streaming else _without_what_is_revealed(match, response.content))
    spool.write("responses", shown_value([request, response]))


def _without_what_is_revealed(match: Any, content: bytes) -> bytes:
    """The one page that shows a token is to show it in one place, and nowhere else."""
    if match is None or match.view_name != "admin:mail_oauth_mailcredentials_reveal":
        return content
    return re.sub(rb'(<code class="mail-oauth-revealed">).*?(</code>)', rb"\1\2", content, count=1)


def _without_what_is_carried(spool: Spool, location: str) -> str:
    """From here on it must stand nowhere."""
    parts = urlsplit(location)
    fields = parse_qs(parts.query, keep_blank_values=True)
    for name in CARRIED:
        for value in fields.pop(name, ()):
            spool.note_secret(name, value)
    return urlunsplit((*parts[:3], str(fields), parts.fragment))


def _keep_crash(spool: Spool, request: Any) -> None:
    """As an error tracker is told of it, as admins are mailed, and as the debug page shows it."""
    from django.views.debug import ExceptionReporter, technical_500_response

    kind, error, trace = sys.exc_info()
    if kind is None or error is None:
        return
    spool.write("crashes", f"{shown(error)}\n{shown_value(request)}")
    reporter = ExceptionReporter(request, kind, error, trace, is_email=True)
    spool.write("crashes", reporter.get_traceback_text())
    spool.write("crashes", technical_500_response(request, kind, error, trace).content)
