"""States in this process's memory: they outlive a connection, not the process.

Owns two dictionaries, of records and of tombstones, both in the order in which they were last
written. It is the default, and the plain form against which the other stores are tested.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice, takewhile

from service.stores.store import (
    TOMBSTONE_BYTES,
    Claim,
    Clock,
    Fate,
    Held,
    Record,
    crowded,
    now_ms,
    spared_tombstones,
    weight,
)


@dataclass(slots=True)
class _Kept:
    """A record, and the epoch that its stream has by now."""

    epoch: int
    since_ms: int
    record: Record


@dataclass(slots=True)
class _Gone:
    """A tombstone."""

    epoch: int
    since_ms: int
    fate: Fate


class MemoryStore:
    """Records in a dictionary."""

    durable = False
    shared = False

    def __init__(self, max_bytes: int, live_seconds: float = 0.0, clock: Clock = now_ms) -> None:
        """Starts empty.

        Args:
            max_bytes: of records and tombstones.
            live_seconds: for so long after it was written or touched nothing is evicted. None by
                default: a live stream's state is in the same process, which writes it again.
            clock: tells the time.
        """
        self._max_bytes = max_bytes
        self._live_ms = int(live_seconds * 1e3)
        self._clock = clock
        self._bytes = 0
        self._epoch = 0
        self.evicted = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._gone: OrderedDict[str, _Gone] = OrderedDict()

    async def begin(self, record: Record) -> Claim:
        """Keeps a new stream's first record."""
        kept = self._kept.get(record.stream_id)
        if kept is not None:
            return Claim(0, Fate.KEPT, kept.record)
        gone = self._gone.get(record.stream_id)
        self._make_room([record])
        self._epoch += 1
        self._put(replace(record, epoch=self._epoch))
        return Claim(self._epoch, gone.fate if gone is not None else Fate.UNKNOWN)

    async def claim(self, stream_id: str, owner: str) -> Claim:
        """Takes a new epoch of a stream that is kept."""
        kept = self._kept.get(stream_id)
        if kept is None:
            gone = self._gone.get(stream_id)
            return Claim(0, gone.fate if gone is not None else Fate.UNKNOWN)
        if kept.record.owner != owner:
            return Claim(0, Fate.KEPT, kept.record)
        self._epoch += 1
        kept.epoch = self._epoch
        self._freshen(stream_id, kept)
        return Claim(self._epoch, Fate.KEPT, kept.record)

    async def write(self, records: Sequence[Record]) -> list[bool]:
        """Writes what is not fenced."""
        if not records:
            return []
        written = [self._is_free(record) for record in records]
        free = [record for record, is_free in zip(records, written, strict=True) if is_free]
        self._make_room(free)
        for record in free:
            self._put(record)
        return written

    async def touch(self, held: Sequence[tuple[str, int]]) -> None:
        """Puts off expiry."""
        for stream_id, epoch in held:
            kept = self._kept.get(stream_id)
            if kept is not None and kept.epoch == epoch:
                self._freshen(stream_id, kept)

    async def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream."""
        kept = self._kept.get(stream_id)
        return kept.record if kept is not None else None

    async def remove(self, stream_id: str, epoch: int, fate: Fate = Fate.CLOSED) -> bool:
        """Leaves a tombstone."""
        there = self._kept.get(stream_id) or self._gone.get(stream_id)
        if there is not None and there.epoch > epoch:
            return False
        self._bury(stream_id, epoch, fate)
        return True

    async def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id, without payloads."""
        found = sorted(
            stream_id
            for stream_id, kept in self._kept.items()
            if stream_id > after and owner in (None, kept.record.owner)
        )
        return [replace(self._kept[stream_id].record, payload=b"") for stream_id in found[:limit]]

    async def expire(self, before_ms: int) -> int:
        """Turns old records into tombstones, and drops old tombstones."""
        for stream_id in [one for one, gone in self._gone.items() if gone.since_ms < before_ms]:
            self._drop(stream_id)
        expired = [one for one, kept in self._kept.items() if kept.since_ms < before_ms]
        for stream_id in expired:
            self._bury(stream_id, self._kept[stream_id].epoch, Fate.EXPIRED)
        return len(expired)

    async def held(self) -> Held:
        """Its two sums."""
        return Held(len(self._kept), self._bytes)

    async def close(self) -> None:
        """Nothing is open."""

    def _is_free(self, record: Record) -> bool:
        kept = self._kept.get(record.stream_id)
        if kept is not None:
            return record.epoch >= kept.epoch
        gone = self._gone.get(record.stream_id)
        if gone is None or record.epoch > gone.epoch:
            return True
        return record.epoch == gone.epoch and gone.fate is Fate.EVICTED

    def _put(self, record: Record) -> None:
        self._drop(record.stream_id)
        now = self._clock()
        self._epoch = max(self._epoch, record.epoch)
        self._kept[record.stream_id] = _Kept(record.epoch, now, replace(record, stored_ms=now))
        self._bytes += weight(record)

    def _freshen(self, stream_id: str, kept: _Kept) -> None:
        kept.since_ms = self._clock()
        self._kept.move_to_end(stream_id)

    def _bury(self, stream_id: str, epoch: int, fate: Fate) -> None:
        self._drop(stream_id)
        self._epoch = max(self._epoch, epoch)
        self._gone[stream_id] = _Gone(epoch, self._clock(), fate)
        self._bytes += TOMBSTONE_BYTES

    def _drop(self, stream_id: str) -> None:
        self._bytes -= self._weight(stream_id)
        self._kept.pop(stream_id, None)
        self._gone.pop(stream_id, None)

    def _weight(self, stream_id: str) -> int:
        kept = self._kept.get(stream_id)
        if kept is not None:
            return weight(kept.record)
        return TOMBSTONE_BYTES if stream_id in self._gone else 0

    def _make_room(self, records: Sequence[Record]) -> None:
        """Evicts what these records need, or raises before anything has changed."""
        growth = sum(weight(record) - self._weight(record.stream_id) for record in records)
        excess = self._bytes + growth - self._max_bytes
        if excess <= 0:
            return
        coming = {record.stream_id for record in records}
        gone, tombstones, evicted = self._oldest(self._gone, coming), list[str](), list[str]()
        there = len(self._gone) - sum(one in self._gone for one in coming)
        beyond = max(there - spared_tombstones(self._max_bytes), 0)
        for old in (islice(gone, beyond), self._oldest(self._kept, coming), gone):
            for stream_id in old:
                if excess <= 0:
                    break
                kept = stream_id in self._kept
                (evicted if kept else tombstones).append(stream_id)
                excess -= self._weight(stream_id) - (TOMBSTONE_BYTES if kept else 0)
        if excess > 0:
            raise crowded("memory:", self._max_bytes, self._live_ms)
        for stream_id in tombstones:
            self._drop(stream_id)
        for stream_id in evicted:
            self._bury(stream_id, self._kept[stream_id].epoch, Fate.EVICTED)
        self.evicted += len(evicted)

    def _oldest(
        self, entries: Mapping[str, _Kept | _Gone], without: Collection[str]
    ) -> Iterator[str]:
        """Ids that nobody holds, oldest first, those of one time by id."""
        newest = self._clock() - self._live_ms
        old = takewhile(lambda item: item[1].since_ms <= newest, entries.items())
        for _, ties in groupby(old, key=lambda item: item[1].since_ms):
            yield from sorted(stream_id for stream_id, _ in ties if stream_id not in without)
