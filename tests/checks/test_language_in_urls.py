"""A redirect URI that depends on the user's language is found, however it came to, and at little cost."""

from __future__ import annotations

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import get_resolver, include, path
from django.utils.translation import gettext_lazy

from mail_oauth.checks import pages
from tests.checks.conftest import GOOGLE, numbers

OURS = path("mail/", include("mail_oauth.urls"))
PAGES = path("", admin.site.urls)


@pytest.mark.parametrize(
    "urls",
    [
        i18n_patterns(PAGES, path("a/", include([path("b/", include([OURS]))]))),
        [path(gettext_lazy("Administration"), include("mail_oauth.urls")), PAGES],
        [path("a/", include([path(gettext_lazy("Administration"), include([OURS])), PAGES]))],
    ],
    ids=["before all", "as a translated word", "in between"],
)
def test_is_found_wherever_it_stands(production, urls):
    assert "W028" in numbers(production(ROOT_URLCONF=tuple(urls)))


@pytest.mark.parametrize(
    "urls",
    [
        [OURS, *i18n_patterns(PAGES)],
        [OURS, *i18n_patterns(PAGES, OURS)],
        [*i18n_patterns(PAGES, prefix_default_language=False), path("a/", include([OURS]))],
    ],
    ids=["in that of other pages", "in one that redirects do not take", "in that of pages with a default"],
)
def test_is_no_matter_elsewhere(production, urls):
    assert "W028" not in numbers(production(ROOT_URLCONF=tuple(urls)))


@pytest.mark.parametrize(
    ("urls", "languages"),
    [((OURS, *i18n_patterns(PAGES)), 1), (tuple(i18n_patterns(PAGES, OURS)), 3)],
    ids=["without one", "with one"],
)
def test_is_looked_for_without_a_map_of_the_site_in_each_language(settings, urls, languages):
    settings.ROOT_URLCONF, settings.MAIL_OAUTH = urls, {"PROVIDERS": {"google": GOOGLE}}
    list(pages.urls())
    assert len(get_resolver()._reverse_dict) == languages, "the site's own, and two that differ"


def test_speaks_no_language_where_none_can_matter(production, monkeypatch):
    def speak(language: str) -> None:
        raise AssertionError("Its catalogues would be read: a hundred languages take a quarter of a second.")

    monkeypatch.setattr(pages.translation, "override", speak)
    urls = (OURS, path("admin/", admin.site.urls), *i18n_patterns(path("pages/", include([]))))
    assert production(ROOT_URLCONF=urls) == []
