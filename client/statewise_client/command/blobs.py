"""States as files.

Owns their reading and writing: a file is there whole or not at all, and for its owner alone.
"""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from statewise_client.errors import InputError

STDIN = STDOUT = "-"


def load(path: str) -> bytes:
    """The state in a file, or on standard input for "-".

    Raises:
        InputError: it can't be read, or is empty.
    """
    try:
        state = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: it can't be read: {error.strerror}; correct the name") from None
    if not state:
        raise InputError(f"{path}: it is empty; give a file that `statewise state export` wrote")
    return state


def check(path: str) -> None:
    """Whether a file could be written, asked before a stream is ended for it.

    Raises:
        InputError: its folder is missing or closed, or it is one itself.
    """
    if path == STDOUT:
        return
    folder = Path(path).parent
    if Path(path).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{path}: it can't be written; name a file in a folder that is yours")


def store(path: str, state: bytes) -> None:
    """Writes a state to a file, or to standard output for "-".

    Raises:
        InputError: it can't be written.
    """
    if path == STDOUT:
        sys.stdout.buffer.write(state)
        return
    try:
        _replace(Path(path), state)
    except OSError as error:
        raise InputError(f"{path}: it can't be written: {error.strerror}") from None


def _replace(path: Path, data: bytes) -> None:
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(part).unlink()
        raise
