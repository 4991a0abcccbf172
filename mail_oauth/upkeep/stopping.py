"""The sign by which a worker tells sweeps under way to claim no more."""

from __future__ import annotations

import mmap


class StopSign:
    """One bit that a process shares with the children it forks.

    Celery tells only its main process that the worker is to stop, while sweeps run in forked children.
    """

    def __init__(self) -> None:
        """Start private to this process, and not raised."""
        self._page: mmap.mmap | bytearray = bytearray(1)

    def share(self) -> None:
        """Lay the bit into memory that children forked from now on see as well."""
        self._page = mmap.mmap(-1, 1)

    def raise_(self) -> None:
        """Ask sweeps to stop, in this process and its children; there is no way back."""
        self._page[0] = 1

    def raised(self) -> bool:
        """Tell whether sweeps are asked to stop."""
        return bool(self._page[0])
