from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, _state
from django.core.management import CommandError, call_command

from mail_oauth.beat import mail_oauth_beat_schedule
from mail_oauth.testing.provider import FakeProvider
from tests.aside import close_aside, open_aside
from tests.transport.certificates import Authority


@dataclass
class Examined:
    """What `manage.py mail_oauth doctor` said."""

    code: int
    text: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    def of(self, identity: str, subject: str = "") -> dict[str, Any]:
        """The one finding with this id, about this subject if one is named."""
        found = [
            each for each in self.data["findings"] if each["id"] == identity and subject in ("", each["subject"])
        ]
        assert len(found) == 1, found
        return found[0]

    def levels(self, identity: str) -> dict[str, str]:
        """The levels of the findings with this id, by subject."""
        return {each["subject"]: each["level"] for each in self.data["findings"] if each["id"] == identity}


@pytest.fixture
def doctor(provider: FakeProvider, no_celery: None, request: pytest.FixtureRequest) -> Any:
    """Runs the command; `--json` unless told otherwise. Whatever it says holds no secret."""
    never: list[str] = []

    def run(*arguments: str, as_json: bool = True) -> Examined:
        out, error, code = io.StringIO(), io.StringIO(), 0
        try:
            call_command(
                "mail_oauth", "doctor", *(["--json"] if as_json else []), *arguments, stdout=out, stderr=error
            )
        except CommandError as failed:
            error.write(str(failed))
            code = failed.returncode
        said = out.getvalue() + error.getvalue()
        for secret in (*provider.issued, provider.client_secret, *never):
            assert secret not in said
        return Examined(code, out.getvalue())

    run.never = never  # type: ignore[attr-defined]  # further secrets
    return run


@pytest.fixture
def no_celery() -> Iterator[None]:
    """The site has no Celery app, whatever other tests have made."""
    before, before_default = _state._tls.current_app, _state.default_app
    _state._tls.current_app = None
    _state.default_app = None
    yield
    _state._tls.current_app, _state.default_app = before, before_default


@pytest.fixture
def celery_app(no_celery: None) -> Celery:
    """The site's Celery app, on a broker where nobody listens."""
    app = Celery("site", broker="redis://:broker-password@127.0.0.1:1/0")
    app.conf.beat_schedule |= mail_oauth_beat_schedule()
    return app


@pytest.fixture
def aside(settings: Any, django_db_blocker: Any) -> Iterator[Any]:
    """Lays the truth into a database of the test's own."""
    settings.DATABASE_ROUTERS = ["tests.routers.Aside"]
    with django_db_blocker.unblock():
        yield open_aside
        close_aside()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("certificates")))
