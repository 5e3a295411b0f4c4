"""What every store of states can do, and the words for it.

Owns the Protocol, so that the keeper does not know where states go, and a test's store can fail
when it is told to. A store keeps one record a stream, the newest, and fences: each claim of a
stream takes a new epoch, greater than any before on that store, and a write with an older one is
refused, so that a replica that was cut off can't overwrite what its successor has done. A stream
that was closed or has expired leaves a tombstone for a while, which fences too and tells the two
apart from a stream that never was.

A store has a bound. Where a write would pass it, tombstones go first and then records, oldest
first, which become tombstones; the youngest tombstones (`spared_tombstones`) go last, since whoever
comes back for an evicted stream would otherwise be told that there never was one. What was written
or touched within the last `LIVE_SECONDS` stays, since some server has the stream in its hands:
rather than that the store says that it is full.

Knows nothing of models, blobs or streams: a payload is bytes.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from service.errors import Unavailable
from service.logs import Seldom

_log = logging.getLogger(__name__)
# However many calls fail of one cause, the log is told of it so often.
_log.addFilter(Seldom(10.0))
# Twice the longest time after which a server touches the silent streams that it holds.
LIVE_SECONDS: Final = 120.0
# What a record takes beside its payload, and what a tombstone takes: ids, names, indices.
RECORD_BYTES: Final = 512
TOMBSTONE_BYTES: Final = 128
# Of the bound, what tombstones may take from records: one part of so many; and how many at most.
SPARED_SHARE: Final = 8
MOST_SPARED: Final = 10_000
# No caller has this name: a claim for it changes nothing, and tells what is there.
NOBODY: Final = "\0"
# Milliseconds since 1970.
Clock = Callable[[], int]


class Fate(Enum):
    """What became of a stream id, as far as the store can tell."""

    UNKNOWN = "unknown"
    KEPT = "kept"
    CLOSED = "closed"
    EXPIRED = "expired"
    EVICTED = "evicted"


@dataclass(frozen=True, slots=True)
class Record:
    """One stream as it is stored.

    Attributes:
        epoch: of the claim under which it was written; 0 before there is one.
        owner: identity that opened the stream; "" without authentication.
        model, version: whose state it is.
        sequence, steps: chunks and steps that the state has taken.
        payload: the state, and what else its resume needs; empty for the model's initial state.
        stored_ms: when it was written, in milliseconds since 1970; set by the store.
    """

    stream_id: str
    epoch: int
    owner: str
    model: str
    version: str
    sequence: int
    steps: int
    payload: bytes
    stored_ms: int = 0


class Held(NamedTuple):
    """What a store holds: kept states, and what all takes of the bound, in bytes."""

    states: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of asking for a stream.

    Attributes:
        epoch: greater than of any claim before on this store; 0 where the stream is not ours.
        fate: what was there before.
        record: what is kept, where the fate is KEPT.
    """

    epoch: int
    fate: Fate
    record: Record | None = None


class Store(Protocol):
    """Keeps records of streams.

    Every method but `close` raises Unavailable, with reason STORE_UNAVAILABLE where the store can't
    be reached and STORE_FULL where it takes no more. Where its answer was lost on the way,
    something may have changed: all methods but `begin` may be called again with the same
    arguments. Methods are called on the event loop; work that takes long is done elsewhere.

    Attributes:
        durable: whether what is written outlives this process.
        shared: whether other processes can read it.
    """

    durable: bool
    shared: bool

    @property
    def evicted(self) -> int:
        """Streams that this store has evicted since it was opened."""

    async def begin(self, record: Record) -> Claim:
        """Keeps a new stream's first record under a new epoch, over a tombstone if there is one.

        Where a record is kept under that id, nothing changes: the claim has epoch 0 and brings it.
        """

    async def claim(self, stream_id: str, owner: str) -> Claim:
        """Takes a new epoch of a stream that is kept, and so fences whoever held it before.

        Where nothing is kept, or the record is another owner's, nothing changes: epoch 0.
        """

    async def write(self, records: Sequence[Record]) -> list[bool]:
        """Writes records, of a stream one at most.

        A stream of which the store has no trace, since it lost it, is taken up again; so is one
        that was evicted under the same epoch.

        Returns:
            Of each record whether it was written; False where it is fenced: a newer epoch stands
            there, or under its own epoch a tombstone of another kind.
        """

    async def touch(self, held: Sequence[tuple[str, int]]) -> None:
        """Puts off the expiry of streams, by id and epoch, that are live and silent."""

    async def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream; None where nothing is kept."""

    async def remove(self, stream_id: str, epoch: int, fate: Fate = Fate.CLOSED) -> bool:
        """Leaves a tombstone of a stream, and what became of it; False where a newer epoch stands.

        UNKNOWN says that there never was one, and fences all the same.
        """

    async def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id, those behind `after`, without payloads; of one owner unless it is None."""

    async def expire(self, before_ms: int) -> int:
        """Turns records last written before a time into tombstones; drops tombstones as old.

        Returns:
            How many streams have expired.
        """

    async def held(self) -> Held:
        """How much is kept, whoever wrote it."""

    async def close(self) -> None:
        """Lets go of what it holds open."""


def spared_tombstones(max_bytes: int) -> int:
    """How many tombstones, the youngest, outlast records that nobody holds.

    An eighth of the room, and no more than can be counted in SQLite beside every write.
    """
    return min(max_bytes // (SPARED_SHARE * TOMBSTONE_BYTES), MOST_SPARED)


def weight(record: Record) -> int:
    """Bytes of the bound that a record takes."""
    return RECORD_BYTES + len(record.payload)


def now_ms() -> int:
    """The time of this machine."""
    return time.time_ns() // 1_000_000


def full(where: str, why: str) -> Unavailable:
    """The store takes no more."""
    return _logged(
        Unavailable(
            "the state store is full", reason="STORE_FULL", retry_after=5.0, inner=f"{where}: {why}"
        )
    )


def crowded(where: str, max_bytes: int, live_ms: int) -> Unavailable:
    """The store takes no more, and nothing in it is old enough to make room."""
    why = f"its {max_bytes} bytes can't hold what is to be written"
    if live_ms:
        why += f" beside what was written or used within {live_ms / 1e3:g} s, which stays"
    return full(where, f"{why}; set a larger --state-bytes")


def away(where: str, why: str) -> Unavailable:
    """The store can't be reached."""
    return _logged(
        Unavailable(
            "the state store can't be used",
            reason="STORE_UNAVAILABLE",
            retry_after=1.0,
            inner=f"{where}: {why}",
        )
    )


def _logged(error: Unavailable) -> Unavailable:
    """Tells the log where and why, which is no caller's affair."""
    _log.warning("%s", error, extra={"reason": error.reason})
    return error
