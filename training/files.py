"""Files that are either the old one or the new one, whole, whenever the process dies.

Owns the writing of temporary files and their renaming. Knows nothing of what is written.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lets the block write a temporary file, which then takes the place of `path`.

    The temporary file is on the disk before the rename, and the rename before the return. If the
    block raises, `path` stays as it was.

    Args:
        path: the file to be replaced; its folder is made where it is missing.

    Yields:
        The temporary file's path, in the same folder and with the same ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = _prefix(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp's files are private; a result is as readable as any file that the user makes.
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """Temporary files beside `path` that `replacing` could not remove, since it was killed."""
    return list(path.parent.glob(f"{_prefix(path)}*{path.suffix}"))


def replace_text(path: Path, text: str) -> None:
    """Writes a whole text file, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _prefix(path: Path) -> str:
    return f".{path.stem}-"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
