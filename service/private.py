"""Files that hold secrets, tokens and keys, and those that are read beside them.

Owns how they are read, and the word to whoever left a secret open to every account of the machine.
Knows nothing of what is in them, and never repeats it: no error or log line has a byte of one.
"""

import logging
import os
import stat
from pathlib import Path
from typing import NamedTuple

from service.errors import SettingsError

_log = logging.getLogger(__name__)
_LARGEST_BYTES = 1024 * 1024


def read_public(setting: str, path: Path) -> bytes:
    """The bytes of a file that a setting names, and everybody may read.

    Raises:
        SettingsError: it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(setting, path, error) from None


def read_private(setting: str, path: Path) -> str:
    """The text of a file that a setting names.

    Raises:
        SettingsError: it can't be read, is no text, or is too large for what it should be.
    """
    try:
        look = path.stat()
        if look.st_size > _LARGEST_BYTES:
            raise SettingsError(
                f"{setting} is {path}, which has {look.st_size} bytes; such a file has at most "
                f"{_LARGEST_BYTES}"
            )
        text = path.read_bytes().decode()
    except OSError as error:
        raise _unreadable(setting, path, error) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting} is {path}, which is no text in UTF-8") from None
    warn_of_readers(setting, path, look.st_mode)
    return text


def warn_of_readers(setting: str, path: Path, mode: int) -> None:
    """Says in the log where a file's mode lets every account read what is secret."""
    if mode & stat.S_IROTH:
        _log.warning("%s is %s, which every account can read; chmod o-r it", setting, path)


def _unreadable(setting: str, path: Path, error: OSError) -> SettingsError:
    # In a container the server runs as another user than the one whose file is mounted.
    remedy = f"; make user {os.geteuid()} its owner" if isinstance(error, PermissionError) else ""
    return SettingsError(f"{setting} is {path}, which can't be read: {error.strerror}{remedy}")


class Look(NamedTuple):
    """What a file looked like: another look means that it was changed."""

    changed_ns: int
    size: int
    node: int


def look_at(path: Path) -> Look | None:
    """A file's look; None where it isn't there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Look(found.st_mtime_ns, found.st_size, found.st_ino)
