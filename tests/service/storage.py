"""Several servers' stores in one place, with a clock that the test moves."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from service.errors import ServiceError
from service.stores.store import Record, Store

LIVE_SECONDS = 10.0
ROOMY = 1024**3
OpenStore = Callable[[int, "Clock"], Store]


class Clock:
    """Milliseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * 1e3)


@dataclass
class Shelf:
    """A place where states are kept; every store that it opens is another server's."""

    open_one: OpenStore
    clock: Clock = field(default_factory=Clock)
    opened: list[Store] = field(default_factory=list)

    def open(self, max_bytes: int = ROOMY) -> Store:
        store = self.open_one(max_bytes, self.clock)
        self.opened.append(store)
        return store

    async def close(self) -> None:
        for store in self.opened:
            with suppress(ServiceError):
                await store.close()


def a_record(stream_id: str, payload: bytes = b"", epoch: int = 0, **fields: object) -> Record:
    """A record of ada's."""
    known = {"owner": "ada", "model": "activity", "version": "1", "sequence": 0, "steps": 0}
    return Record(stream_id=stream_id, epoch=epoch, payload=payload, **(known | fields))
