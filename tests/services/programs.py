"""Where a server's program is, and what a test does without it."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

PLACES = ["/usr/local/sbin", "/usr/sbin", "/sbin"]
VERSIONED = Path("/usr/lib/postgresql")


class MissingProgram(Exception):
    """A program or module that a service needs is not installed."""


def services_required() -> bool:
    """Whether a missing program is a failure, as in CI, instead of a reason to skip."""
    return os.environ.get("MAIL_OAUTH_REQUIRE_SERVICES", "") not in ("", "0")


def find_program(*names: str) -> str:
    """The path of the first of `names` that is installed, also where PATH does not look on Debian."""
    newest_first = sorted(VERSIONED.glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES, *map(str, newest_first)])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise MissingProgram(f"{names[0]} is not installed")


def skip_or_fail(reason: str) -> None:
    if services_required():
        pytest.fail(f"{reason}, and MAIL_OAUTH_REQUIRE_SERVICES is set", pytrace=False)
    pytest.skip(reason)


def require(*names: str, reason: str = "") -> str:
    """The path of a program; without it the test skips, or fails under MAIL_OAUTH_REQUIRE_SERVICES=1."""
    try:
        return find_program(*names)
    except MissingProgram as missing:
        skip_or_fail(reason or str(missing))
        raise


def find_module(name: str) -> None:
    """Raise MissingProgram where a Python module, such as a database driver, is not installed."""
    if importlib.util.find_spec(name) is None:
        raise MissingProgram(f"the Python module {name} is not installed")
