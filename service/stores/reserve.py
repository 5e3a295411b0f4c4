"""A file that is nothing but room on a full disk.

Owns the reserve beside an SQLite file. Where the disk is full it is given up, so that a stream can
still be claimed, which takes a few kilobytes; no state is written until it is whole again. Knows
nothing of databases.
"""

import os
from pathlib import Path
from typing import Final

# Room for the write-ahead log and its index, many claims over.
_BYTES: Final = 4 * 1024**2


class Reserve:
    """Bytes that are there so that they can be given up."""

    def __init__(self, path: Path) -> None:
        """Of a file that may not be there yet."""
        self._path = path

    def hold(self) -> bool:
        """Whether the reserve is whole, after taking what it lacks if there is room."""
        try:
            if self._path.stat().st_size >= _BYTES:
                return True
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, _BYTES)
        except OSError:
            os.ftruncate(descriptor, 0)
            return False
        finally:
            os.close(descriptor)
        return True

    def give_up(self) -> None:
        """Leaves its room to others."""
        self._path.unlink(missing_ok=True)
