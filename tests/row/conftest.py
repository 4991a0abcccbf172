from __future__ import annotations

from tests.concurrency import separate_connections

__all__ = ["separate_connections"]
