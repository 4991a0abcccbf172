"""What the watch found at the end of a run, and how much it had looked at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import filterfalse
from pathlib import Path

from mail_oauth.testing.search import Index, Secret
from tests.canary import others
from tests.canary.spool import labels_at, sizes

_AT_ONCE = 1024 * 1024  # Python's development mode fills a buffer of that size for each read
_OVERLAP = 4096


@dataclass(frozen=True, order=True)
class Finding:
    """A secret in the open: what it is and how it is written, in what kind of text, of which test or file."""

    secret: str
    spelling: str
    kind: str
    where: str


@dataclass
class Verdict:
    """Of a whole run."""

    secrets: int = 0
    bytes_by_kind: Counter[str] = field(default_factory=Counter)
    findings: Counter[Finding] = field(default_factory=Counter)

    def told(self) -> Iterator[str]:
        """What was found, without a secret in it."""
        for finding, times in sorted(self.findings.items()):
            yield f"{finding.secret} {finding.spelling}, {times}x, in {finding.kind}: {finding.where}"

    def summary(self) -> str:
        """One line."""
        found = f"{self.findings.total()} found" if self.findings else "none found"
        kinds = ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in self.bytes_by_kind.most_common())
        return f"canary: {self.secrets} secrets looked for in {self.bytes_by_kind.total() / 1e6:.1f} MB ({kinds}): {found}"


def look_through(directory: Path, places: Iterable[Path], tests: str = "") -> Verdict:
    """Search what all processes of a run have kept in `directory`, and the files in `places`.

    What stands in the names of `tests` is made up by them.
    """
    secrets = {secret: kind for secret, kind in _secrets(directory) if secret not in tests}
    index, verdict = Index((kind, secret) for secret, kind in secrets.items()), Verdict(len(secrets))
    names: dict[str, str] = {}
    for path in sorted(directory.glob("texts-*")):
        texts = path.read_bytes()
        for kind, size in sizes(texts):
            verdict.bytes_by_kind[kind] += size
        for start, piece, spelling in _unexpected(index, texts):
            kind, where = labels_at(texts, start)
            verdict.findings[Finding(piece.kind, spelling, kind, where)] += 1
        names |= _names_of_files(texts)
    for path in [*sorted(directory.glob("file-*")), *(each for place in places for each in _files(place))]:
        kind = path.name.split("-")[1] if path.parent == directory else "files"
        for data in _parts(path):
            verdict.bytes_by_kind[kind] += len(data)
            for _, piece, spelling in _unexpected(index, data):
                verdict.findings[Finding(piece.kind, spelling, kind, names.get(path.name, str(path)))] += 1
    return verdict


_TOLD_ON_PURPOSE = b"Client secret: "
"""How the fake provider's program tells whoever starts it what to write into their settings."""


def _unexpected(index: Index, texts: bytes) -> Iterator[tuple[int, Secret, str]]:
    for found in index.find(texts):
        if not texts.endswith(_TOLD_ON_PURPOSE, 0, found[0]):
            yield found


def _secrets(directory: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(directory.glob("secrets-*")):
        for line in path.read_text().splitlines():
            kind, secret = json.loads(line)
            yield secret, kind


def _names_of_files(texts: bytes) -> dict[str, str]:
    lines = (line.decode().partition(" is ") for line in texts.split(b"\n") if line.startswith(b"file-"))
    return {name: path for name, _, path in lines}


def _files(place: Path) -> Iterator[Path]:
    found = (path for path in sorted(place.rglob("*")) if path.is_file() and not path.is_symlink())
    return filterfalse(others.lies_there, found)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        tail = b""
        while data := file.read(_AT_ONCE):
            yield tail + data
            tail = data[-_OVERLAP:]
