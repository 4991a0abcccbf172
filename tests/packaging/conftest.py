"""The wheel, built through the source archive as for a release, once for all tests that look at it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.blocks import ROOT

NOT_THE_PROJECT = (
    ".git",
    ".venv*",
    ".*_cache",
    ".demo",
    ".hypothesis",
    "__pycache__",
    "node_modules",
    "build",
    "dist",
)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy, since setuptools leaves files in the tree that it builds."""
    for name in ("build", "setuptools"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    place = tmp_path_factory.mktemp("release")
    ignored = shutil.ignore_patterns(*NOT_THE_PROJECT, "*.egg-info", "*.sqlite3*", "htmlcov", ".coverage*")
    shutil.copytree(ROOT, place / "project", ignore=ignored)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), "project"]
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    shutil.rmtree(
        place / "project"
    )  # it holds the keys of the tests, for which temporary files are looked through
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    [made] = (place / "dist").glob("*.whl")
    return made
