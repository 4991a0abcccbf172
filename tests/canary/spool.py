"""Where everything that a run writes is kept until the end, when all secrets are known: files in one directory.

Each process of the run adds to files of its own, by its number. What one file holds are segments, each behind a
line that says what it is (a log record, a response, …) and which test it comes from.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from mail_oauth.testing.search import pieces

WATCH = "MAIL_OAUTH_CANARY_WATCH"
"""The environment variable that names the directory; a child process that finds it adds to it."""

_MARK = b"\n\x1ecanary "
_LARGEST_FILE = 4 * 1024 * 1024
"""A larger one is a database server's log of changes: what it was told is searched as statements."""

_FULL = 16 * 1024  # tests that measure memory must not see it


class Spool:
    """The files of one process. It may be used by many threads, and a forked child begins files of its own."""

    def __init__(self, directory: Path, *, buffered: bool) -> None:
        """Add to `directory`; without `buffered` a process that is killed has lost nothing."""
        self.directory = directory
        self._most = _FULL if buffered else 0
        self._lock = threading.RLock()
        self._texts = bytearray()
        self._labels: tuple[str, str] | None = None
        self._secrets: set[int] = set()
        self._linked: frozenset[tuple[int, int]] = frozenset()
        self._pid = os.getpid()
        os.register_at_fork(before=self.flush, after_in_child=self._begin_anew)

    def write(self, kind: str, text: str | bytes, test: str = "") -> None:
        """Keep a text, with the test that it comes from: the one that runs just now, unless told."""
        data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
        if not data:
            return
        labels = kind, test or os.environ.get("PYTEST_CURRENT_TEST", "between tests")
        with self._lock:
            if labels != self._labels:
                self._texts += _MARK + json.dumps(labels).encode() + b"\n"
                self._labels = labels
            self._texts += data
            self._texts += b"\n"
            if len(self._texts) > self._most:
                self.flush()

    def note_secret(self, kind: str, secret: str) -> None:
        """Keep something that must stand nowhere."""
        if hash(secret) in self._secrets:
            return
        lines = [json.dumps([kind, piece.text.decode()]) + "\n" for piece in pieces(kind, secret)]
        with self._lock:
            self._secrets.add(hash(secret))
            _append(self.directory / f"secrets-{self._pid}", "".join(lines).encode())

    def link(self, kind: str, place: Path) -> None:
        """Keep a file, or those of a directory, as they are at the end, or when they are removed before."""
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and not path.is_symlink() and self._is_new(path):
                handle, name = tempfile.mkstemp(dir=self.directory, prefix=f"file-{kind}-")
                os.close(handle)
                Path(name).unlink()
                try:
                    os.link(path, name)
                except OSError:  # on another file system
                    shutil.copyfile(path, name)
                self.write("files", f"{Path(name).name} is {path}")

    def _is_new(self, path: Path) -> bool:
        about = path.stat()
        known, self._linked = self._linked, self._linked | {(about.st_dev, about.st_ino)}
        return 0 < about.st_size <= _LARGEST_FILE and (about.st_dev, about.st_ino) not in known

    def flush(self) -> None:
        """Bring what was written to disk."""
        with self._lock:
            if self._texts:
                _append(self.directory / f"texts-{self._pid}", bytes(self._texts))
                self._texts.clear()

    def _begin_anew(self) -> None:
        self._lock, self._pid = threading.RLock(), os.getpid()
        self._texts.clear()
        self._labels, self._most = None, 0


def _append(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def labels_at(texts: bytes, position: int) -> tuple[str, str]:
    """What stands at `position`: the kind of text, and the test."""
    start = texts.rfind(_MARK, 0, position)
    if start < 0:
        return "", ""
    kind, test = json.loads(texts[start + len(_MARK) : texts.index(b"\n", start + 1)])
    return kind, test


def sizes(texts: bytes) -> Iterator[tuple[str, int]]:
    """The length of each segment, by kind."""
    start = texts.find(_MARK)
    while start >= 0:
        after = texts.find(_MARK, start + 1)
        yield labels_at(texts, start + len(_MARK))[0], (len(texts) if after < 0 else after) - start
        start = after
