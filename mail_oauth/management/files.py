"""Files that a command writes: new ones, that nobody but their owner reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from django.core.management.base import CommandError


@contextmanager
def created(path: Path) -> Iterator[TextIO]:
    """Make a file with the mode 0600, and write to it. Raises `CommandError` where there is one, or none can be made."""
    try:
        # O_EXCL follows no symbolic link either, and lets nobody have opened it before (open(2)).
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} is there already: name a file that is not.") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    with os.fdopen(number, "w", encoding="utf-8") as opened:
        yield opened
