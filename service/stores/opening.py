"""A store from its URL.

Owns the words of `--state-store`. The drivers are imported here, and only where they are asked for.
"""

from pathlib import Path

from service.errors import SettingsError
from service.stores.memory import MemoryStore
from service.stores.store import Store

_KINDS = "memory:, sqlite:PATH"


def open_store(url: str, max_bytes: int) -> Store:
    """The store that a URL names.

    Args:
        url: memory:, or sqlite:PATH (sqlite:///PATH too, where it starts at the root).
        max_bytes: most bytes of states that it keeps.

    Raises:
        SettingsError: there is no such kind, or it can't be opened.
    """
    kind, colon, rest = url.partition(":")
    if kind == "memory" and colon and not rest:
        return MemoryStore(max_bytes)
    if kind == "sqlite" and colon:
        return _sqlite(rest, max_bytes)
    raise SettingsError(f"state_store is {url!r}; take one of {_KINDS}")


def _sqlite(rest: str, max_bytes: int) -> Store:
    from service.stores.sqlite import SqliteStore

    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise SettingsError(
                f"state_store is 'sqlite:{rest}'; take sqlite:PATH, or sqlite:///PATH from the root"
            )
        rest = rest[2:]
    if not rest:
        raise SettingsError("state_store is 'sqlite:'; name a file behind it, as sqlite:states.db")
    return SqliteStore(Path(rest), max_bytes)
