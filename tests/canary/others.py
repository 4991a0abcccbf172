"""Where another application's tokens lie in the open, for an import to read, and what is exported in the open on purpose.

Everything else that such a test writes is watched like any other test's.
"""

from __future__ import annotations

import re
from pathlib import Path

DIRECTORY = "of-another-application"
"""Files in a directory of that name."""

KEYS = b"email:credentials:"
"""What the keys in Redis begin with."""

_TABLES = re.compile(r"\b(socialaccount|social_auth|office)_[a-z]+")


def is_theirs(text: str) -> bool:
    """Tell whether a statement, or the name of a table, is of another application's table."""
    return _TABLES.search(text) is not None


def lies_there(path: Path) -> bool:
    """Tell whether a file is another application's."""
    return DIRECTORY in path.parts
