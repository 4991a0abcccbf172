"""A browser for one form: walks the real consent page over HTTP and brings back where it leads."""

import http.client
import ssl
from collections.abc import Collection
from html.parser import HTMLParser
from typing import Final
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

SECONDS: Final = 30


class ConsentNotOffered(Exception):
    """The authorization endpoint showed an error page, because the request may not be sent back.

    It says where the user was to be sent back to, and what the page said.
    """

    def __init__(self, status: int, authorize_url: str = "", page: str = "") -> None:
        redirect_uri = parse_qs(urlsplit(authorize_url).query).get("redirect_uri", ["nowhere"])[0]
        said = _Alert()
        said.feed(page)
        super().__init__(
            f"The authorization endpoint answered {status} instead of a consent page ({said.words or 'no words'}). "
            f"Users were to be sent back to {redirect_uri}. The fake provider sends them to this machine, to the "
            "BASE_URL that the settings had when the test began, and where add_site() or add_client() say."
        )
        self.status = status
        self.redirect_uri = redirect_uri


class _Alert(HTMLParser):
    """What a page says in its alert."""

    words = ""
    _open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = ("role", "alert") in attrs

    def handle_data(self, data: str) -> None:
        self.words += data if self._open else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = False


class _Form(HTMLParser):
    """The form's action and its fields as a browser would send them untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        seen = dict(attrs)
        if tag == "form":
            self.action = seen.get("action") or ""
        if tag == "input" and (seen.get("type") not in {"radio", "checkbox"} or "checked" in seen):
            self.fields.append((seen.get("name") or "", seen.get("value") or ""))


def _request(method: str, url: str, body: str = "") -> tuple[int, str, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    if parts.scheme == "https":
        # The fake's certificate is a test's own; what is under test is not this browser.
        trusting = ssl._create_unverified_context()  # noqa: S323  # see above
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=SECONDS, context=trusting
        )
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body or None, headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Location") or "", reply.read().decode()
    finally:
        connection.close()


def walk(authorize_url: str, *, email: str, deny: bool, scopes: Collection[str] | None) -> str:
    """Open ``authorize_url``, sign in as ``email``, press a button; the URL that it redirects to.

    ``scopes`` are the mail scopes left ticked, all of them when ``None``. Raises `ConsentNotOffered`.
    """
    status, location, page = _request("GET", authorize_url)
    if location:
        return location
    if status != 200:
        raise ConsentNotOffered(status, authorize_url, page)
    form = _Form()
    form.feed(page)
    ticked = [value for name, value in form.fields if name == "scope" and (scopes is None or value in scopes)]
    fields = [("account", email), ("decision", "deny" if deny else "allow"), *(("scope", each) for each in ticked)]
    status, location, page = _request("POST", urljoin(authorize_url, form.action), urlencode(fields))
    if not location:
        raise ConsentNotOffered(status, authorize_url, page)
    return location
