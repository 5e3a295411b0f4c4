"""Streams that nobody advances any more: forgotten after a time.

Owns how often the store is asked to forget, and that it takes no live stream for such a one; what
it holds is looked at as often. Knows nothing of checkpoints.
"""

import time
from collections.abc import Iterable

from service.errors import ServiceError
from service.metrics import Metrics
from service.stores.store import Store
from service.streams.live import Stream

# Stores take a stream that is not touched for two minutes for one that nobody advances.
_LONGEST_PAUSE_SECONDS = 30.0


class Sweeper:
    """The one who lets a store forget."""

    def __init__(self, store: Store, seconds: float, metrics: Metrics) -> None:
        """Forgets what nobody has advanced for so many seconds."""
        self._store = store
        self._seconds = seconds
        self._metrics = metrics
        self._pause = min(seconds / 10, _LONGEST_PAUSE_SECONDS)
        self._due = time.monotonic() + self._pause

    async def sweep(self, live: Iterable[Stream]) -> None:
        """Forgets if it is time; streams that are live here stay."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._pause
        held = [(one.id, one.keeping.epoch) for one in live if one.keeping]
        try:
            await self._store.touch(held)
            before_ms = int((time.time() - self._seconds) * 1e3)
            self._metrics.ended("expired", await self._store.expire(before_ms))
        except ServiceError as error:
            self._metrics.states.store_failed(error.reason)
        await self.measure()

    async def measure(self) -> None:
        """Notes how much is kept."""
        try:
            self._metrics.states.held(*await self._store.held())
        except ServiceError as error:
            self._metrics.states.store_failed(error.reason)
