"""What the pages of the connect flow stand on: middleware, URLs, templates, a page to sign in at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.shortcuts import resolve_url
from django.template import TemplateDoesNotExist
from django.template.backends.django import DjangoTemplates
from django.template.loader import get_template
from django.urls import NoReverseMatch, URLResolver, get_resolver, get_script_prefix, resolve
from django.urls.exceptions import Resolver404
from django.utils import translation
from django.utils.module_loading import import_string

from mail_oauth.checks.addresses import callback_path
from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
USERS = "django.contrib.auth.middleware.AuthenticationMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"

_NEEDED = {
    SESSIONS: "a consent is tied to its browser by the session",
    USERS: "a mailbox belongs to a signed-in user",
    CSRF: "without it another site could begin a consent for a user",
}
_REQUEST = "django.template.context_processors.request"


def middleware() -> Found:
    """Find middleware that is missing, or that comes too late."""
    places = {path: _place(path) for path in _NEEDED}
    for path, place in places.items():
        if place is None:
            yield found("E016", f"MIDDLEWARE lacks {path}: {_NEEDED[path]}.", f'Add "{path}" to MIDDLEWARE.')
    sessions, users = places[SESSIONS], places[USERS]
    if sessions is not None and users is not None and sessions > users:
        yield found(
            "E016",
            "MIDDLEWARE asks for the user before there is a session.",
            f'Put "{SESSIONS}" before "{USERS}" in MIDDLEWARE.',
        )


def urls() -> Found:
    """Find a site without redirect URIs, or with one for each language."""
    if not app_settings().providers or not getattr(settings, "ROOT_URLCONF", None):
        return
    path = callback_path()
    if not path:
        yield found(
            "E020",
            "Providers are set up, but mail_oauth.urls is included nowhere: no mailbox can be connected.",
            'Add path("mail/", include("mail_oauth.urls")) to urlpatterns.',
        )
        return
    parts = list(chain.from_iterable(_ways(get_resolver().url_patterns)))
    spoken = settings.USE_I18N and not all(map(_is_the_same, parts))
    paths = _paths_by_language(parts) if spoken else [path]  # to speak a language is to read its catalogues
    if len(paths) > 1:
        first, second = sorted(paths)
        yield found(
            "W028",
            f"The redirect URI depends on the user's language ({first}, {second} …): a provider knows those that are "
            "registered there.",
            'Include "mail_oauth.urls" outside i18n_patterns().',
        )


def login() -> Found:
    """Find a site whose users would be sent to sign in where nothing is: this app's pages are for those who have."""
    if app_settings().providers and callback_path() and not _leads_to_a_page(settings.LOGIN_URL):
        yield found(
            "W030",
            f"LOGIN_URL is {_named(settings.LOGIN_URL)}, and no page is there: whoever opens one of this app's pages is sent to "
            "it to sign in.",
            'Write LOGIN_URL = "admin:login", or where your own page is.',
        )


def templates() -> Found:
    """Find a site on which the pages cannot be drawn."""
    if not app_settings().providers:
        return
    try:
        template: Any = get_template("mail_oauth/mailboxes.html")
    except TemplateDoesNotExist:
        yield found(
            "E021",
            "No template engine finds mail_oauth/mailboxes.html.",
            'Add "APP_DIRS": True to the DjangoTemplates of TEMPLATES.',
        )
        return
    backend = template.backend
    if isinstance(backend, DjangoTemplates) and _REQUEST not in backend.engine.context_processors:
        yield found(
            "E021",
            f"The engine {backend.name!r} of TEMPLATES gives its pages no request, which connect_mailbox_button needs.",
            f'Add "{_REQUEST}" to its "context_processors".',
        )


def _place(path: str) -> int | None:
    """Return where a middleware stands, or one that does its work: a subclass, or one of the same name."""
    wanted, name = import_string(path), path.rpartition(".")[2]
    for place, listed in enumerate(settings.MIDDLEWARE):
        if listed.rpartition(".")[2] == name:
            return place
        try:
            candidate = import_string(listed)
        except ImportError:  # which Django reports itself
            continue
        if isinstance(candidate, type) and issubclass(candidate, wanted):
            return place
    return None


def _paths_by_language(parts: Sequence[Any]) -> list[str]:
    """Return the redirect URI's path, before which these stand; two of them where the language of the user decides.

    Reversing builds a map of the whole site for each language, of which there are a hundred: only those are reversed in
    in which the parts differ.
    """
    languages: dict[str, str] = {}
    for code, _ in settings.LANGUAGES:
        with translation.override(code):
            languages.setdefault("\n".join(map(str, parts)), code)
    paths: set[str] = set()
    for code in languages.values():
        with translation.override(code):
            paths.add(callback_path())
        if len(paths) > 1:
            break
    return list(paths)


def _ways(entries: Sequence[Any], before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield what stands in `urlpatterns` before this app's own URLs, each time that they are included."""
    for entry in entries:
        if isinstance(entry, URLResolver):
            way = (*before, entry.pattern)
            if entry.app_name == "mail_oauth":
                yield way
            else:
                yield from _ways(entry.url_patterns, way)


def _is_the_same(pattern: Any) -> bool:
    """Tell whether a part of a URL is the same in every language."""
    return isinstance(getattr(pattern, "_route", getattr(pattern, "_regex", None)), str)


def _named(url: Any) -> str:
    try:
        return repr(str(url))
    except NoReverseMatch as error:
        return f"a lazy one ({error})"


def _leads_to_a_page(url: Any) -> bool:
    """Tell whether a path of this site, or a view's name, is one; what lies elsewhere is taken to be."""
    try:
        parts = urlsplit(resolve_url(url))
    except NoReverseMatch:
        return False
    prefix = get_script_prefix()
    if parts.netloc or not parts.path.startswith(prefix):
        return True
    path = f"/{parts.path.removeprefix(prefix)}"
    languages = [code for code, _ in settings.LANGUAGES] if settings.USE_I18N else []
    return _is_page(path) or any(_is_page_in(code, path) for code in languages)


def _is_page_in(language: str, path: str) -> bool:
    """Tell whether there is such a page in a language, to which LocaleMiddleware may have to lead."""
    with translation.override(language):
        return _is_page(path) or _is_page(f"/{language}{path}")


def _is_page(path: str) -> bool:
    for candidate in (path, f"{path}/"):  # to which CommonMiddleware leads
        try:
            resolve(candidate)
        except Resolver404:
            continue
        return True
    return False
