"""Imports by the command, and what they say."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.moving.fixtures import Grant

_numbers = itertools.count(1)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs `manage.py mail_oauth …`; its exit code and all that it wrote."""

    def call(*arguments: Any) -> tuple[int, str]:
        out, code = io.StringIO(), 0
        try:
            call_command("mail_oauth", *map(str, arguments), stdout=out, stderr=out)
        except CommandError as error:
            out.write(f"CommandError: {error}")
            code = error.returncode
        return code, out.getvalue()

    return call


@pytest.fixture
def report(run: Callable[..., tuple[int, str]], tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Runs an import; its report, a dict for each entry."""

    def call(*arguments: Any) -> list[dict[str, Any]]:
        file = tmp_path / f"report{next(_numbers)}.jsonl"
        run("import", *arguments, "--report", file)
        return [json.loads(line) for line in file.read_text().splitlines()]

    return call


def outcomes(results: list[dict[str, Any]]) -> list[str]:
    return [result["outcome"] for result in results]


@pytest.fixture
def lines(elsewhere: Path) -> Callable[..., Path]:
    """Writes JSON Lines; text stands there as it is."""

    def write(*entries: dict[str, Any] | str) -> Path:
        file = elsewhere / f"lines{next(_numbers)}.jsonl"
        file.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in entries))
        return file

    return write


@pytest.fixture
def line_of(user: Any) -> Callable[..., dict[str, Any]]:
    """A grant as JSON Lines have it."""

    def make(grant: Grant, alias: str = "microsoft", **also: Any) -> dict[str, Any]:
        return {
            "user": user.pk,
            "provider": alias,
            "email": grant.email,
            "refresh_token": grant.refresh_token,
            "access_token": grant.access_token,
            "issued_at": grant.issued_at.isoformat(),
            "expires_at": grant.expires_at.isoformat(),
            **also,
        }

    return make
