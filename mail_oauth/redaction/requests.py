"""The query of the callback, taken out of its request; and the redirect to a provider, whose URL is nobody's to see.

A request is shown in many places when something fails: `repr` with its whole URL in every frame of the debug page
and in the extras of Django's own warnings, its GET and META on that page, its request line in the access logs of
WSGI servers, which print it when the response is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict

from mail_oauth.frames import keeps_locals_in
from mail_oauth.redaction.text import HIDDEN, scrub
from mail_oauth.tokens import Secret

_NAMES = frozenset({"code", "state", "iss", "scope", "error", "error_description", "error_uri", "session_state"})
_ERROR = re.compile(r"[a-z_]{1,40}")


@keeps_locals_in
def take_query(request: HttpRequest) -> Secret:
    """Return the raw query of a request, which from then on shows it to nobody."""
    raw = str(request.META.get("QUERY_STRING", ""))
    if raw:
        shown = _shown(raw)
        for name, value in list(request.META.items()):
            if (
                name.endswith("QUERY_STRING") and value == raw
            ):  # some servers tell it twice (REDIRECT_QUERY_STRING)
                request.META[name] = shown
            elif isinstance(value, str):  # behind a "?" alone: a short query stands within Host and others as well
                request.META[name] = value.replace(f"?{raw}", f"?{shown}")
        request.GET = QueryDict(shown)
        if scope := getattr(request, "scope", None):
            scope["query_string"] = shown.encode()
    if referrer := request.META.get("HTTP_REFERER"):
        request.META["HTTP_REFERER"] = scrub(referrer)
    return Secret(raw)


@keeps_locals_in
def without_query(request: HttpRequest) -> tuple[HttpRequest, Secret]:
    """Return a copy of a request, which shows the raw query to nobody, and that query. The request stays as it was."""
    with suppress(Exception):
        request.POST  # noqa: B018  # the body can be read once: read by the copy, the request would miss it
    copied = type(request).__new__(type(request))  # by copy() it would lose its stream
    copied.__dict__.update(request.__dict__)
    copied.META = dict(request.META)
    for name in ("environ", "scope"):
        if hasattr(request, name):
            setattr(copied, name, copied.META if name == "environ" else dict(getattr(request, name)))
    return copied, take_query(copied)


def _shown(raw: str) -> str:
    """Return a query with the names that providers use and the code of an error: anything else may be a secret."""
    fields = parse_qsl(raw, keep_blank_values=True)
    shown = [
        (
            name if name in _NAMES else HIDDEN,
            value if name == "error" and _ERROR.fullmatch(value) else HIDDEN,
        )
        for name, value in fields
    ]
    return urlencode(shown, safe="[]")


def takes_query(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make of a view that takes `query` one that takes it out of its request before anything else is done."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, query=take_query(request), **kwargs)

    return wrapped


class PrivateRedirect(HttpResponseRedirect):
    """A redirect that shows its URL to the browser alone: `repr` of Django's has it in every frame of a report."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} status_code={self.status_code}>"


@keeps_locals_in
def redirect_privately(url: Secret) -> HttpResponse:
    """Redirect to a URL that holds secrets."""
    return PrivateRedirect(url.reveal())
