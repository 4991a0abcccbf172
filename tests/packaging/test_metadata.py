"""Version, changelog, classifiers, requirements and what is run in CI say the same."""

from __future__ import annotations

import configparser
import re

import pytest

import mail_oauth
from tests.documentation.blocks import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
HEADINGS = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d{2}-\d{2})$", CHANGELOG, re.MULTILINE)


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    read.read(ROOT / "setup.cfg")
    return read


def classified(config: configparser.ConfigParser, family: str) -> set[str]:
    found = re.findall(rf"^{re.escape(family)} :: (\d+\.\d+)$", config["metadata"]["classifiers"], re.MULTILINE)
    return set(found)


def test_the_newest_heading_of_the_changelog_is_this_version():
    assert HEADINGS[0][0] == mail_oauth.__version__


def test_every_heading_of_the_changelog_is_a_version_and_they_go_down():
    assert len(HEADINGS) == len(re.findall(r"^## ", CHANGELOG, re.MULTILINE))
    numbers = [tuple(map(int, version.split("."))) for version, _ in HEADINGS]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [version for version, date in HEADINGS[1:] if date == "Unreleased"] == []


def test_the_pythons_are_those_that_are_asked_for_and_run(config):
    classifiers = classified(config, "Programming Language :: Python")
    least = config["options"]["python_requires"].removeprefix(">=")
    assert min(classifiers, key=lambda text: int(text.split(".")[1])) == least
    run = (ROOT / ".ci" / "run").read_text()
    assert {version for version in classifiers if not re.search(rf"(interpreter|plain) {version}\b", run)} == set()


def test_the_djangos_are_those_that_are_asked_for_and_run(config):
    classifiers = classified(config, "Framework :: Django")
    [(least, below)] = re.findall(
        r"^django>=([\d.]+),<([\d.]+)$", config["options"]["install_requires"], re.MULTILINE
    )
    assert least in classifiers
    assert below not in classifiers
    assert max(classifiers, key=float) == f"{float(below) - 0.1:.1f}"
    run = (ROOT / ".ci" / "run").read_text()
    tried = set(re.findall(r"plain 3\.\d+ (\d\.\d)", run)) | set(re.findall(r"django~=(\d\.\d)\.0", run))
    assert classifiers <= tried
