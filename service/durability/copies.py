"""A stream's state between two chunks, on its way to the store.

Owns the copy, which is taken in a moment, and the record that becomes of it, which takes longer.
Knows nothing of when either happens.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from protos.statewise.v1.state_pb2 import Kept
from service.durability import blob, snapshots
from service.durability.openings import kept_results
from service.durability.snapshots import Snapshot
from service.models.served import ServedModel
from service.stores.store import Record
from service.streams.live import Stream
from service.tensors import Array

# States turned into bytes between two looks at the event loop.
_SLICE = 16


class Copy(NamedTuple):
    """A stream's state as it was after so many chunks and steps.

    Attributes:
        row: packed, (state width,).
        results: that its caller had not acknowledged, by number.
        since: when the oldest of its chunks that is not stored was taken, on the monotonic clock.
    """

    stream: Stream
    row: Array
    sequence: int
    steps: int
    results: tuple[tuple[int, Array], ...] = ()
    since: float = 0.0

    @property
    def snapshot(self) -> Snapshot:
        """What the copy holds of the stream's own."""
        return snapshots.take(self.stream.model, self.row, self.steps)


def copies_of(model: ServedModel, streams: Sequence[Stream]) -> Iterator[Copy]:
    """Copies of idle streams of one model, read at once while none of its steps is under way."""
    rows = model.arena.read(np.array([stream.slot.row for stream in streams], np.intp))
    for row, stream in zip(rows, streams, strict=True):
        results = stream.keeping.results if stream.keeping is not None else ()
        yield Copy(stream, row, stream.expected - 1, stream.steps, tuple(results))


async def copy_at_rest(stream: Stream, is_there: Callable[[], bool]) -> Copy | None:
    """A stream as it is when the chunk under way is done; None where it was gone by then."""
    taken: asyncio.Future[Copy | None] = asyncio.get_running_loop().create_future()

    def take() -> None:
        if not taken.done():
            there = is_there()
            taken.set_result(next(copies_of(stream.model, (stream,))) if there else None)

    def idle() -> None:
        stream.model.batcher.at_rest(take)

    if stream.busy:
        stream.on_idle.append(idle)
    else:
        idle()
    return await taken


def _record_of(copy: Copy, key: bytes | None) -> Record:
    """What the store keeps of it; its blob is signed where there is a key."""
    stream, model = copy.stream, copy.stream.model
    assert stream.keeping is not None
    kept = Kept(state=blob.encode(copy.snapshot, key), results=kept_results(copy.results))
    return Record(
        stream_id=stream.id,
        epoch=stream.keeping.epoch,
        owner=stream.owner,
        model=model.name,
        version=str(model.version),
        sequence=copy.sequence,
        steps=copy.steps,
        payload=kept.SerializeToString(),
    )


async def records_of(copies: Sequence[Copy], key: bytes | None) -> list[Record]:
    """What the store keeps of copies, made a few at a time so that no tick is held up."""
    records = []
    for number, copy in enumerate(copies, start=1):
        records.append(_record_of(copy, key))
        if number % _SLICE == 0:
            await asyncio.sleep(0)
    return records
