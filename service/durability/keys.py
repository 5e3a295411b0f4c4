"""The keys that sign states, from a file.

Owns the form of the file: a key a line, in hexadecimal digits, as `openssl rand -hex 32` prints
one; `#` begins a comment. The first key signs and is believed; those behind it are believed only,
so that a new key is put before the old one and blobs of both are taken until the old one goes.
"""

from dataclasses import dataclass, field
from pathlib import Path

from service.errors import SettingsError
from service.private import read_private

# As long as the hash: a shorter key would be the weakest part.
_SHORTEST_BYTES = 32
_MOST_KEYS = 16


@dataclass(frozen=True)
class StateKeys:
    """What states are signed with; nothing where no file was named.

    Attributes:
        signing: of what is exported and stored.
        previous: believed in what comes back, beside `signing`.
    """

    signing: bytes | None = field(default=None, repr=False)
    previous: tuple[bytes, ...] = field(default=(), repr=False)


def load_state_keys(path: Path | None) -> StateKeys:
    """The keys of a file; none without one.

    Raises:
        SettingsError: it can't be read, or a line is no key.
    """
    if path is None:
        return StateKeys()
    lines = read_private("state_key_file", path).splitlines()
    keys = [
        _key(path, number, text)
        for number, line in enumerate(lines, 1)
        if (text := line.partition("#")[0].strip())
    ]
    if not 1 <= len(keys) <= _MOST_KEYS:
        raise SettingsError(
            f"state_key_file is {path}, which has {len(keys)} keys; write 1 to {_MOST_KEYS}, one a "
            "line (openssl rand -hex 32)"
        )
    return StateKeys(keys[0], tuple(keys[1:]))


def _key(path: Path, number: int, text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < _SHORTEST_BYTES:
        # Of the line no more than its number: it may be a key with a slip of the pen.
        raise SettingsError(
            f"state_key_file is {path}, whose line {number} is no key of at least "
            f"{2 * _SHORTEST_BYTES} hexadecimal digits; make one with openssl rand -hex 32"
        )
    return key
