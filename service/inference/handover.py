"""Sequences that another server goes on with: given to the store at the end, taken on a miss.

Owns what a sequence is called in the store, and for how long it may be taken: no longer than it
might have been silent where it was live. A sequence is given once, whole, with no request under
way, and whoever takes it has removed it before the first step, so that no state is ever gone on
with twice. Knows nothing of requests.
"""

from service.durability import blob
from service.durability.kept import KeptStreams
from service.durability.openings import parsed
from service.inference.requests import SequenceId
from service.stores.store import Claim, now_ms
from service.streams.live import RESERVED, Stream, new_id

# Model, id, and whose it is.
Key = tuple[str, SequenceId, str]


class Handover:
    """Between the sequences of servers that share a store."""

    def __init__(self, kept: KeptStreams) -> None:
        """Goes by the store of the kept streams."""
        self._kept = kept

    @property
    def possible(self) -> bool:
        """Whether what is given here is found by another process."""
        return self._kept.durable

    async def give(self, key: Key, stream: Stream) -> None:
        """Stores the state of a sequence with no request under way.

        Raises:
            Unavailable: the store can't be reached.
        """
        snapshot = (await self._kept.copy(stream)).snapshot
        await self._kept.beginnings.store_first(
            stream.model, _name(key), key[2], snapshot, replace=True
        )

    async def take(self, key: Key, idle_seconds: float, begun_ms: int = 0) -> Stream | None:
        """The stream of a sequence that was given no longer ago than so many seconds.

        Args:
            key: whose sequence it is.
            idle_seconds: for how long it may have been silent.
            begun_ms: when a sequence of this name was last begun here, in milliseconds since 1970;
                what was given before is an earlier one.

        Raises:
            Unavailable: the store can't be reached, or no model here made the state. Where it is
                the removal that failed, the sequence can be taken still, unless only the store's
                answer was lost.
            Exhausted: the model has no stream free.
        """
        keeper, name = self._kept.keeper, _name(key)
        claim = await keeper.claim(name, key[2])
        if not claim.epoch or claim.record is None:
            return None
        given_ms = claim.record.stored_ms
        if given_ms < begun_ms or now_ms() - given_ms > idle_seconds * 1e3:
            keeper.forget(name, claim.epoch)
            return None
        snapshot = blob.decode(parsed(claim.record).state, keeper.key, keeper.previous)
        model = self._kept.beginnings.model_of(snapshot)
        stream = self._kept.beginnings.started(model, new_id(), snapshot)
        stream.owner = key[2]
        return stream if await self._removed(name, claim, stream) else None

    async def _removed(self, name: str, claim: Claim, stream: Stream) -> bool:
        """Removes what was taken; False where another server has claimed it since.

        Not behind the answer, as a stream that was closed: until then others could go on with it.
        """
        removed = False
        try:
            removed = await self._kept.keeper.store.remove(name, claim.epoch)
        finally:
            if not removed:
                self._kept.close(stream)
        return removed


def _name(key: Key) -> str:
    """What a sequence is called in the store; numbers and texts never meet."""
    model, sequence, owner = key
    return f"{RESERVED}{owner}/{model}/{type(sequence).__name__}/{sequence}"
