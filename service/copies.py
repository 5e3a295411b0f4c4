"""A stream's state between two chunks, on its way to the store.

Owns the copy, which is taken in a moment, and the record that becomes of it, which takes longer.
Knows nothing of when either happens.
"""

from typing import NamedTuple

from protos.statewise.v1.state_pb2 import Kept
from service import blob, snapshots
from service.live import Stream
from service.openings import kept_results
from service.stores.store import Record
from service.tensors import Array


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
    results: tuple[tuple[int, Array], ...]
    since: float


def record_of(copy: Copy, key: bytes | None) -> Record:
    """What the store keeps of it; its blob is signed where there is a key."""
    stream, model = copy.stream, copy.stream.model
    assert stream.keeping is not None
    snapshot = snapshots.take(model, copy.row, copy.steps)
    kept = Kept(state=blob.encode(snapshot, key), results=kept_results(copy.results))
    return Record(
        stream_id=stream.id,
        epoch=stream.keeping.epoch,
        owner=stream.keeping.owner,
        model=model.name,
        version=str(model.version),
        sequence=copy.sequence,
        steps=copy.steps,
        payload=kept.SerializeToString(),
    )
