"""Streams that were closed, on their way out of the store.

Owns what is still to be removed, and what the store said of it: where another server has claimed a
stream meanwhile, what was closed here is no longer the stream. Knows nothing of states.
"""

from dataclasses import dataclass

from service.stores.store import Fate, Store


@dataclass(eq=False, slots=True)
class Removal:
    """The end of a stream under one claim on it.

    Attributes:
        epoch: of the claim.
        fate: what whoever asks for the stream is told.
        overtaken: whether a newer claim stood in the store: the stream goes on elsewhere.
    """

    stream_id: str
    epoch: int
    fate: Fate
    overtaken: bool = False


class Removals:
    """Those that the store does not know of yet, one a stream."""

    def __init__(self, store: Store) -> None:
        """Starts with nothing to remove."""
        self._store = store
        self._waiting: dict[str, Removal] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, stream_id: str) -> bool:
        return stream_id in self._waiting

    def add(self, removal: Removal) -> Removal:
        """Removes it when it is settled, in place of an earlier one of its stream."""
        self._waiting[removal.stream_id] = removal
        return removal

    async def settle(self, stream_id: str) -> None:
        """Removes a stream if it was closed.

        Raises:
            Unavailable: the store can't be reached; it waits on.
        """
        removal = self._waiting.get(stream_id)
        if removal is None:
            return
        removal.overtaken = not await self._store.remove(stream_id, removal.epoch, removal.fate)
        if self._waiting.get(stream_id) is removal:
            del self._waiting[stream_id]

    async def settle_all(self) -> None:
        """Removes all that was closed.

        Raises:
            Unavailable: the store can't be reached; the rest waits on.
        """
        for stream_id in list(self._waiting):
            await self.settle(stream_id)
