"""A store from its URL.

Owns the words of `--state-store`. The drivers are imported here, and only where they are asked for.
"""

from pathlib import Path

from service.errors import SettingsError
from service.stores.memory import MemoryStore
from service.stores.store import Store

_KINDS = "memory:, sqlite:PATH, redis://HOST:PORT/DB"


def open_store(url: str, max_bytes: int) -> Store:
    """The store that a URL names.

    Args:
        url: memory:, sqlite:PATH (sqlite:///PATH too, where it starts at the root), or
            redis://HOST:PORT/DB (rediss: with TLS, unix:///PATH for a socket).
        max_bytes: most bytes of states that it keeps.

    Raises:
        SettingsError: there is no such kind, or it can't be opened.
    """
    kind, colon, rest = url.partition(":")
    if kind == "memory" and colon and not rest:
        return MemoryStore(max_bytes)
    if kind == "sqlite" and colon:
        return _sqlite(rest, max_bytes)
    if kind in ("redis", "rediss", "unix") and rest.startswith("//"):
        from service.stores.redis import RedisStore

        return RedisStore(url, max_bytes)
    # Not the whole URL, which may have a password in it.
    raise SettingsError(f"state_store begins with {kind!r}; take one of {_KINDS}")


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
