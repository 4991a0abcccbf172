"""What the debug page shows of this app's settings, whatever they are called and however deep they lie."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter, technical_500_response

from mail_oauth.conf import app_settings
from mail_oauth.providers import provider_for
from mail_oauth.providers.registry import BUILT_IN, provider_class

CANARY = "a-canary-of-the-settings"

SECRET_OPTIONS = sorted(
    {name for alias in BUILT_IN for name in provider_class(alias, {"CLASS": alias}).OPTIONS if "SECRET" in name}
)


def settings_with(option: str, shape: object) -> dict[str, object]:
    options = {"CLASS": "oidc", "CLIENT_ID": "id", "ISSUER": "https://issuer.example", option: shape}
    return {"PROVIDERS": {"company": options}, "PROXY": f"http://user:{CANARY}@proxy.example"}


def page(debug: bool, settings) -> str:
    """Django's page for a crash in a frame that holds the settings in its locals."""
    settings.DEBUG = debug
    with pytest.raises(ZeroDivisionError) as caught:
        raise_with(app_settings(), app_settings().providers, dict(app_settings().providers["company"]))
    request = RequestFactory().get("/")
    reporter = ExceptionReporter(request, caught.type, caught.value, caught.tb)
    shown = technical_500_response(request, caught.type, caught.value, caught.tb).content.decode()
    return shown + reporter.get_traceback_text()


def raise_with(*held: object) -> None:
    """What a function of the app's would have in its locals."""
    raise ZeroDivisionError


def test_there_are_such_options():
    assert "CLIENT_SECRET" in SECRET_OPTIONS


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("option", SECRET_OPTIONS)
@pytest.mark.parametrize("shape", [CANARY, [CANARY], [CANARY, CANARY], (CANARY,)], ids=str)
def test_no_secret_of_the_settings_is_on_the_debug_page(option, shape, debug, settings):
    settings.MAIL_OAUTH = settings_with(option, shape)
    settings.FERNET_KEYS = [CANARY, CANARY + "-of-before"]
    settings.SECRET_KEY = CANARY
    shown = page(debug, settings)
    assert "ZeroDivisionError" in shown
    assert "MAIL_OAUTH" in shown
    assert "raise_with" in shown
    assert CANARY not in shown


@pytest.mark.parametrize("option", SECRET_OPTIONS)
def test_nor_where_a_site_shows_more_of_its_settings(option, settings):
    """A filter of a site's own may let `MAIL_OAUTH` through, whose name Django hides since 5.2; option by option."""
    options = settings_with(option, [CANARY])["PROVIDERS"]
    cleansed = SafeExceptionReporterFilter().cleanse_setting("PROVIDERS", options)
    assert CANARY not in repr(cleansed)
    assert "issuer.example" in repr(cleansed)


def test_the_settings_show_no_secret_but_give_it(settings):
    settings.MAIL_OAUTH = settings_with("CLIENT_SECRET", CANARY)
    assert CANARY not in repr(app_settings())
    assert CANARY in app_settings().proxy
    provider = provider_for("company")
    assert CANARY not in f"{provider!r} {vars(provider)!r} {provider.options!r}"
    assert provider.options["CLIENT_SECRET"].reveal() == CANARY
