"""A project fresh from `startproject` that does what the README says, letter by letter, works and hears nothing of our checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.blocks import README, block

ROOT = Path(__file__).parents[2]

CELERY = """
import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fresh.settings")
app = Celery("fresh")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("-m", "django", "startproject", "fresh", ".")

    def run(self, *arguments: str) -> str:
        """What a command says; Django's own checks may have it fail."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        environment.pop("OAUTHLIB_INSECURE_TRANSPORT", None)
        environment |= {
            "PYTHONPATH": str(ROOT),
            "MICROSOFT_CLIENT_ID": "2f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11",
            "MICROSOFT_CLIENT_SECRET": "kX9~abcDEF",
            "MAIL_OAUTH_KEY": "a long random string",
            "REDIS_URL": "redis://127.0.0.1:1/0",
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def append(self, name: str, text: str) -> None:
        with (self.folder / "fresh" / name).open("a") as file:
            file.write(text)


VISITOR = """
from django.contrib.auth.models import User
from django.test import Client

visitor = Client(SERVER_NAME="localhost")
print(visitor.get("/mail/", follow=True).redirect_chain)
visitor.force_login(User.objects.create_user("ada"))
print(visitor.get("/mail/").status_code)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The README's four steps, the button apart."""
    made = Project(tmp_path)
    made.append("settings.py", block(README, "python", "INSTALLED_APPS +="))
    made.append("urls.py", block(README, "python", "urlpatterns +="))
    made.append("celery.py", CELERY)
    return made


def test_neither_check_nor_check_deploy_says_anything_of_ours(project):
    project.append("celery.py", block(README, "python", "beat_schedule |="))
    assert "no issues" in project.run("manage.py", "check")
    said = project.run("manage.py", "check", "--deploy")
    assert "security.W018" in said, "Django's own, of DEBUG"
    assert "mail_oauth" not in said


def test_its_users_sign_in_and_see_their_mailboxes(project):
    project.run("manage.py", "migrate")
    said = project.run("manage.py", "shell", "-c", VISITOR)
    assert said.splitlines()[-2:] == ["[('/admin/login/?next=/mail/', 302)]", "200"]


def test_users_who_cannot_sign_in_are_found(project):
    project.append("settings.py", '\nLOGIN_URL = "/accounts/login/"\n')
    assert "mail_oauth.W030" in project.run("manage.py", "check")


def test_a_beat_that_nobody_told_of_it_is_found_though_nothing_imports_celery_py(project):
    assert "mail_oauth.W022" in project.run("manage.py", "check", "--deploy")


def test_a_celery_py_that_fails_is_no_reason_not_to_check(project):
    project.append("celery.py", "\nraise KeyError('BROKER')\n")
    said = project.run("manage.py", "check", "--deploy")
    assert "fresh.celery cannot be imported (KeyError)" in said


def test_the_doctor_comes_though_check_finds_errors_and_there_is_no_table_yet(project):
    project.append("settings.py", '\nSESSION_COOKIE_SAMESITE = "Strict"\n')
    said = project.run("manage.py", "mail_oauth", "doctor", "--json")
    report, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    levels = {finding["id"]: finding["level"] for finding in report["findings"]}
    assert levels["mail_oauth.E015"] == "error"
    assert levels["database.migrations"] == "error"
    assert levels["database.reachable"] == "ok"
    assert "SystemCheckError" in project.run("manage.py", "mail_oauth", "status"), "others do not run"
