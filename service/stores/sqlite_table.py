"""What is asked of the rows of an SQLite store; what changes them runs in a transaction.

Owns the statements. Each hand-over between SQLite and Python gives the interpreter's lock away and
has to win it back from a busy event loop, so that many rows go in one statement, and what comes
back is one row wherever it can be. Knows nothing of files, threads or failures.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from service.stores.store import (
    TOMBSTONE_BYTES,
    Claim,
    Clock,
    Fate,
    Held,
    Record,
    spared_tombstones,
    weight,
)

# Rows of one statement; parameters are bound with the interpreter's lock held, 0.2 ms for so many.
_ROWS: Final = 256
# In the order of a Record.
_COLUMNS: Final = "id, written, owner, model, version, sequence, steps, payload, stored_ms"
_FILLED: Final = (
    "since_ms, stored_ms, fate, id, epoch, written, weight,"
    " owner, model, version, sequence, steps, payload"
)
# The first parameter is the time of all rows; a bare ? takes the number after the greatest so far.
_ROW: Final = "(?1,?1,'kept',?,?,?,?,?,?,?,?,?,?)"
_UPDATES: Final = ", ".join(f"{name} = excluded.{name}" for name in _FILLED.split(", "))
Item = TypeVar("Item")


class Table:
    """The rows of one connection."""

    def __init__(
        self, connection: sqlite3.Connection, max_bytes: int, live_ms: int, clock: Clock
    ) -> None:
        """Over a file that is laid out.

        Args:
            connection: to it; a transaction is begun before each method but `read`, `page` and
                `held`, which are one statement each.
            max_bytes: of records and tombstones.
            live_ms: for so long after it was written or touched nothing is evicted.
            clock: tells the time.
        """
        self._execute = connection.execute
        self._max_bytes = max_bytes
        self._live_ms = max(live_ms, 1)
        self._clock = clock
        self.evicted = 0

    def begin(self, records: Sequence[Record]) -> list[Claim]:
        """Keeps new streams; their ids differ."""
        there = self._there([record.stream_id for record in records])
        new = [
            record
            for record in records
            if there.get(record.stream_id, (Fate.UNKNOWN,))[0] is not Fate.KEPT
        ]
        first = self._take_epochs(len(new))
        began = {
            record.stream_id: replace(record, epoch=epoch)
            for epoch, record in enumerate(new, first)
        }
        self._put(list(began.values()))
        claims = []
        for record in records:
            fate, old = there.get(record.stream_id, (Fate.UNKNOWN, None))
            mine = began.get(record.stream_id)
            claims.append(Claim(mine.epoch if mine is not None else 0, fate, old))
        return claims

    def claim(self, asked: Sequence[tuple[str, str]]) -> list[Claim]:
        """Takes epochs of kept streams, by id and owner; their ids differ."""
        there = self._there([stream_id for stream_id, _ in asked])
        found = [there.get(stream_id, (Fate.UNKNOWN, None)) for stream_id, _ in asked]
        ours = [
            stream_id
            for (stream_id, owner), (_, record) in zip(asked, found, strict=True)
            if record is not None and record.owner == owner
        ]
        epochs = dict(zip(ours, range(self._take_epochs(len(ours)), 2**63), strict=False))
        for part in _parts(list(epochs.items())):
            rows = ",".join(["(?,?)"] * len(part))
            self._execute(
                f"WITH asked(id, epoch) AS (VALUES {rows}) UPDATE streams SET since_ms = ?,"
                " epoch = (SELECT epoch FROM asked WHERE asked.id = streams.id)"
                " WHERE id IN (SELECT id FROM asked)",
                [*_flat(part), self._clock()],
            )
        return [
            Claim(epochs.get(stream_id, 0), fate, record)
            for (stream_id, _), (fate, record) in zip(asked, found, strict=True)
        ]

    def write(self, records: Sequence[Record]) -> list[bool]:
        """Writes what is not fenced."""
        if not records:
            return []
        written: list[bool] = []
        for part in _parts(records):
            fenced = self._fenced(part)
            written += [number not in fenced for number in range(len(part))]
        self._put([record for record, free in zip(records, written, strict=True) if free])
        self._raise_epoch(max((record.epoch for record in records), default=0))
        return written

    def touch(self, held: Sequence[tuple[str, int]]) -> None:
        """Puts off expiry."""
        for part in _parts(held):
            rows = ",".join(["(?,?)"] * len(part))
            self._execute(
                "UPDATE streams SET since_ms = ? WHERE fate = 'kept'"
                f" AND (id, epoch) IN (VALUES {rows})",
                [self._clock(), *_flat(part)],
            )

    def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream."""
        return self._there([stream_id]).get(stream_id, (Fate.UNKNOWN, None))[1]

    def remove(self, stream_id: str, epoch: int, fate: Fate) -> bool:
        """Leaves a tombstone."""
        row = self._execute("SELECT epoch FROM streams WHERE id = ?", (stream_id,)).fetchone()
        if row is not None and row[0] > epoch:
            return False
        self._raise_epoch(epoch)
        self._execute(
            f"INSERT INTO streams ({_FILLED}) VALUES"
            " (?, 0, ?, ?, ?, 0, ?, '', '', '', 0, 0, x'')"
            f" ON CONFLICT (id) DO UPDATE SET {_UPDATES}",
            (self._clock(), fate.value, stream_id, epoch, TOMBSTONE_BYTES),
        )
        return True

    def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id, without payloads."""
        columns = _COLUMNS.replace("payload", "x''")
        rows = self._execute(
            f"SELECT {columns} FROM streams WHERE id > ? AND fate = 'kept'"
            " AND (? IS NULL OR owner = ?) ORDER BY id LIMIT ?",
            (after, owner, owner, limit),
        )
        return [_record(row) for row in rows.fetchall()]

    def expire(self, before_ms: int) -> tuple[int, int]:
        """Expires records that are old, and drops tombstones as old; some, and how many of each."""
        chosen = "SELECT id FROM streams WHERE fate {} 'kept' AND since_ms < ? LIMIT 1000"
        dropped = self._execute(
            f"DELETE FROM streams WHERE id IN ({chosen.format('<>')})", (before_ms,)
        ).rowcount
        return self._bury(Fate.EXPIRED, chosen.format("="), [before_ms]), dropped

    def held(self) -> Held:
        """How much is kept."""
        kept = "SELECT count(*) FROM streams WHERE fate = 'kept'"
        return Held(*self._execute(f"SELECT ({kept}), bytes FROM totals").fetchone())

    def _bury(self, fate: Fate, chosen: str, values: Sequence[object]) -> int:
        """Makes tombstones of the chosen ids."""
        return self._execute(
            f"UPDATE streams SET fate = '{fate.value}', since_ms = ?, weight = {TOMBSTONE_BYTES},"
            f" payload = x'', owner = '', model = '', version = '' WHERE id IN ({chosen})",
            [self._clock(), *values],
        ).rowcount

    def _there(self, ids: Sequence[str]) -> dict[str, tuple[Fate, Record | None]]:
        """What stands under ids."""
        found: dict[str, tuple[Fate, Record | None]] = {}
        for part in _parts(ids):
            marks = ",".join("?" * len(part))
            for row in self._execute(
                f"SELECT {_COLUMNS}, fate FROM streams WHERE id IN ({marks})", part
            ).fetchall():
                fate = Fate(row[-1])
                found[row[0]] = (fate, _record(row[:-1]) if fate is Fate.KEPT else None)
        return found

    def _fenced(self, records: Sequence[Record]) -> set[int]:
        """Numbers of those records that may not be written."""
        rows = ",".join(f"({number},?,?)" for number in range(len(records)))
        (fenced,) = self._execute(
            f"WITH asked(number, id, epoch) AS (VALUES {rows}) SELECT json_group_array(number)"
            " FROM asked JOIN streams USING (id) WHERE streams.epoch > asked.epoch"
            " OR (streams.epoch = asked.epoch AND fate NOT IN ('kept', 'evicted'))",
            _flat([(record.stream_id, record.epoch) for record in records]),
        ).fetchone()
        return set(json.loads(fenced))

    def _put(self, records: Sequence[Record]) -> None:
        now = self._clock()
        for part in _parts(records):
            rows = ",".join([_ROW] * len(part))
            values: list[object] = [now]
            for one in part:
                values += (one.stream_id, one.epoch, one.epoch, weight(one), one.owner, one.model)
                values += (one.version, one.sequence, one.steps, one.payload)
            self._execute(
                f"INSERT INTO streams ({_FILLED}) VALUES {rows}"
                f" ON CONFLICT (id) DO UPDATE SET {_UPDATES}",
                values,
            )
        if records:
            self._make_room(now)

    def _make_room(self, now: int) -> None:
        """Evicts while the file is beyond its bound.

        Raises:
            OverflowError: what is left is live; the transaction has to be rolled back.
        """
        before = min(now - self._live_ms, now - 1)
        excess, evicted = self._excess(), 0
        beyond = self._beyond(excess) if excess > 0 else 0
        while excess > 0:
            gone = self._oldest("<>", before, excess)[: beyond or None]
            kept = [] if gone and beyond else self._oldest("=", before, excess)
            if gone and not kept:
                marks = ",".join("?" * len(gone))
                self._execute(f"DELETE FROM streams WHERE id IN ({marks})", gone)
                beyond = max(beyond - len(gone), 0)
            elif kept:
                evicted += self._bury(Fate.EVICTED, ",".join("?" * len(kept)), kept)
            else:
                raise OverflowError
            excess = self._excess()
        self.evicted += evicted

    def _beyond(self, excess: int) -> int:
        """How many tombstones go before records do, of those that this excess takes."""
        spared = spared_tombstones(self._max_bytes)
        (there,) = self._execute(
            "SELECT count(*) FROM (SELECT 1 FROM streams WHERE fate <> 'kept' LIMIT ?)",
            (spared + excess // TOMBSTONE_BYTES + 1,),
        ).fetchone()
        return max(int(there) - spared, 0)

    def _oldest(self, relation: str, before: int, excess: int) -> list[str]:
        """The oldest ids, as many as are needed, a few at most."""
        gain = "weight" if relation == "<>" else f"weight - {TOMBSTONE_BYTES}"
        rows = self._execute(
            f"SELECT id, {gain} FROM streams WHERE fate {relation} 'kept' AND since_ms <= ?"
            " ORDER BY since_ms, id LIMIT 64",
            (before,),
        ).fetchall()
        chosen = []
        for stream_id, gained in rows:
            if excess <= 0:
                break
            chosen.append(stream_id)
            excess -= gained
        return chosen

    def _excess(self) -> int:
        (held,) = self._execute("SELECT bytes FROM totals").fetchone()
        return int(held) - self._max_bytes

    def _take_epochs(self, count: int) -> int:
        """The first of so many new epochs."""
        if not count:
            return 0
        (last,) = self._execute(
            "UPDATE totals SET epoch = epoch + ? RETURNING epoch", (count,)
        ).fetchall()[0]
        return int(last) - count + 1

    def _raise_epoch(self, epoch: int) -> None:
        self._execute("UPDATE totals SET epoch = ?1 WHERE epoch < ?1", (epoch,))


def _record(row: Sequence[Any]) -> Record:
    return Record(*row)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _ROWS):
        yield items[start : start + _ROWS]


def _flat(pairs: Sequence[tuple[object, object]]) -> list[object]:
    return [value for pair in pairs for value in pair]
