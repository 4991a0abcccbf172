"""Each language says all that there is to say, as its compiled catalogue has it."""

from __future__ import annotations

import gettext
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command

import mail_oauth
from tests.services.programs import require

LANGUAGES = ("en", "de", "fr", "es", "zh_Hans")

APP = Path(mail_oauth.__file__).parent

each_language = pytest.mark.parametrize("language", LANGUAGES)


def catalogue(language: str, kind: str = "po") -> Path:
    return APP / "locale" / language / "LC_MESSAGES" / f"django.{kind}"


def entries(compiled: Path) -> dict[object, object]:
    """What a compiled catalogue holds, less the header with its dates."""
    with compiled.open("rb") as file:
        found = dict(gettext.GNUTranslations(file)._catalog)  # type: ignore[attr-defined]
    del found[""]
    return found


def run(*command: object) -> None:
    reply = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stderr


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the code and the templates say, as `makemessages` finds it."""
    require("xgettext")
    copy = tmp_path_factory.mktemp("source") / APP.name
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns("__pycache__", "locale", "testing"))
    (copy / "locale").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(copy)
        call_command("makemessages", locale=["xx"], keep_pot=True, no_location=True, verbosity=0)
    return copy / "locale" / "django.pot"


@each_language
def test_nothing_is_missing_or_left_over(language, template):
    leftovers_are_errors = ["--no-fuzzy-matching"]
    untranslated = ["--use-untranslated"] if language == "en" else []
    run(require("msgcmp"), *leftovers_are_errors, *untranslated, catalogue(language), template)
    run(require("msgcmp"), *leftovers_are_errors, "--use-untranslated", template, catalogue(language))


@each_language
def test_what_is_compiled_is_what_is_written(language, tmp_path):
    compiled = tmp_path / "django.mo"
    run(require("msgfmt"), "--check", "--output-file", compiled, catalogue(language))
    assert entries(compiled) == entries(catalogue(language, "mo"))
