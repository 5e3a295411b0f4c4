"""States in this process's memory: they outlive a connection, not the process.

Owns a dictionary and its bound: where it is full, the record that was written longest ago goes, and
leaves a tombstone. It is the default, and the plain form against which the others are tested.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.stores.store import Claim, Fate, Record


@dataclass(slots=True)
class _Entry:
    """What stands under an id: a record, or a tombstone."""

    epoch: int
    fate: Fate
    since_ms: int
    record: Record | None = None


class MemoryStore:
    """Records in a dictionary, in the order in which they were written."""

    durable = False
    shared = False

    def __init__(self, max_bytes: int) -> None:
        """Starts empty.

        Args:
            max_bytes: of payloads; beyond them the oldest go.
        """
        self._max_bytes = max_bytes
        self._bytes = 0
        self._epoch = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def begin(self, record: Record) -> Claim:
        """Keeps a new stream's first record."""
        entry = self._entries.get(record.stream_id)
        if entry is not None and entry.record is not None:
            return Claim(0, Fate.KEPT, entry.record)
        self._epoch += 1
        self._put(replace(record, epoch=self._epoch))
        return Claim(self._epoch, entry.fate if entry is not None else Fate.UNKNOWN)

    async def claim(self, stream_id: str, owner: str) -> Claim:
        """Takes a new epoch of a stream that is kept."""
        entry = self._entries.get(stream_id)
        if entry is None or entry.record is None:
            return Claim(0, entry.fate if entry is not None else Fate.UNKNOWN)
        if entry.record.owner != owner:
            return Claim(0, Fate.KEPT, entry.record)
        self._epoch += 1
        entry.epoch = self._epoch
        return Claim(self._epoch, Fate.KEPT, entry.record)

    async def write(self, records: Sequence[Record]) -> list[bool]:
        """Writes what is not fenced."""
        written = []
        for record in records:
            entry = self._entries.get(record.stream_id)
            newest = entry.epoch if entry is not None else 0
            buried = entry is not None and entry.record is None
            free = record.epoch > newest or (record.epoch == newest and not buried)
            if free:
                self._put(record)
            written.append(free)
        return written

    async def touch(self, held: Sequence[tuple[str, int]]) -> None:
        """Puts off expiry."""
        for stream_id, epoch in held:
            entry = self._entries.get(stream_id)
            if entry is not None and entry.epoch == epoch:
                entry.since_ms = _now_ms()

    async def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream."""
        entry = self._entries.get(stream_id)
        return entry.record if entry is not None else None

    async def remove(self, stream_id: str, epoch: int) -> bool:
        """Leaves a tombstone."""
        entry = self._entries.get(stream_id)
        if entry is not None and entry.epoch > epoch:
            return False
        if entry is not None:
            self._bury(stream_id, entry, Fate.CLOSED)
        return True

    async def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id, without payloads."""
        found = sorted(
            stream_id
            for stream_id, entry in self._entries.items()
            if stream_id > after
            and entry.record is not None
            and owner in (None, entry.record.owner)
        )
        records = [self._entries[stream_id].record for stream_id in found[:limit]]
        return [replace(record, payload=b"") for record in records if record is not None]

    async def expire(self, before_ms: int) -> int:
        """Turns old records into tombstones, and drops old tombstones."""
        expired = 0
        for stream_id, entry in list(self._entries.items()):
            if entry.since_ms >= before_ms:
                continue
            if entry.record is None:
                del self._entries[stream_id]
            else:
                self._bury(stream_id, entry, Fate.EXPIRED)
                expired += 1
        return expired

    async def close(self) -> None:
        """Nothing is open."""

    def _put(self, record: Record) -> None:
        self._forget(self._entries.get(record.stream_id))
        now = _now_ms()
        self._epoch = max(self._epoch, record.epoch)
        self._entries[record.stream_id] = _Entry(
            record.epoch, Fate.KEPT, now, replace(record, stored_ms=now)
        )
        self._entries.move_to_end(record.stream_id)
        self._bytes += len(record.payload)
        self._make_room()

    def _make_room(self) -> None:
        if self._bytes <= self._max_bytes:
            return
        for stream_id, entry in list(self._entries.items()):
            # One without a payload is live; nothing would be gained by it.
            if entry.record is not None and entry.record.payload:
                self._bury(stream_id, entry, Fate.EVICTED)
            if self._bytes <= self._max_bytes:
                return

    def _bury(self, stream_id: str, entry: _Entry, fate: Fate) -> None:
        self._forget(entry)
        entry.record, entry.fate, entry.since_ms = None, fate, _now_ms()
        self._entries.move_to_end(stream_id)

    def _forget(self, entry: _Entry | None) -> None:
        if entry is not None and entry.record is not None:
            self._bytes -= len(entry.record.payload)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
