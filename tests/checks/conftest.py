from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, _state
from django.core.checks import CheckMessage, run_checks

from mail_oauth.beat import mail_oauth_beat_schedule

MICROSOFT = {"CLIENT_ID": "2f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11", "CLIENT_SECRET": "kX9~abcDEF"}
GOOGLE = {"CLIENT_ID": "1234.apps.googleusercontent.com", "CLIENT_SECRET": "GOCSPX-abcDEF"}
OIDC = {**GOOGLE, "CLASS": "oidc", "ISSUER": "https://sso.example.com/realms/mail"}
PLAIN = {
    **GOOGLE,
    "CLASS": "oauth2",
    "AUTHORIZE_URL": "https://auth.example.com/authorize",
    "TOKEN_URL": "https://auth.example.com/token",
    "SCOPES": ["mail"],
}


@pytest.fixture
def celery_app() -> Iterator[Celery]:
    """The site's Celery app, as the README has it made."""
    before = _state._tls.current_app
    app = Celery("site")
    app.conf.beat_schedule |= mail_oauth_beat_schedule()
    yield app
    _state._set_current_app(before)


@pytest.fixture
def no_celery_app(celery_app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site without one. Celery's support of Django has made the first app of the run its fallback."""
    monkeypatch.setattr(_state, "default_app", None)
    _state._set_current_app(None)


@pytest.fixture
def production(settings: Any, celery_app: Celery, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A site that is right in production. `production(SETTING=…, ours={…})` changes it and returns what is found.

    `ours` are settings in `MAIL_OAUTH`; with `deploy=False` only what is wrong anywhere is looked for.
    """
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "mail_oauth.testing"]
    settings.ALLOWED_HOSTS = ["your.site"]
    settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1"}}
    right = {
        "BASE_URL": "https://your.site",
        "PROVIDERS": {"microsoft": MICROSOFT, "google": GOOGLE, "keycloak": OIDC, "plain": PLAIN},
    }

    def look(*, ours: dict[str, Any] | None = None, deploy: bool = True, **changes: Any) -> list[CheckMessage]:
        settings.MAIL_OAUTH = {**right, **(ours or {})}
        for name, value in changes.items():
            setattr(settings, name, value)
        return run_checks(tags=["mail_oauth"], include_deployment_checks=deploy)

    return look


def numbers(messages: list[CheckMessage]) -> list[str]:
    """The ids without the app's label, each once."""
    return sorted({str(message.id).removeprefix("mail_oauth.") for message in messages})
