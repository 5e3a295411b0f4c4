"""States in an SQLite file: they outlive the process, and several workers can share them.

Owns the thread on which everything is done, the transactions, and what becomes of a full disk. The
standard library's driver on one thread is all that it takes: SQLite has one writer at a time
anyway, and the interpreter's lock is given up while it works. Knows nothing of the statements.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from service.errors import SettingsError
from service.stores import sqlite_file
from service.stores.gathering import Gathering
from service.stores.reserve import Reserve
from service.stores.sqlite_table import Table
from service.stores.store import (
    LIVE_SECONDS,
    Claim,
    Clock,
    Fate,
    Held,
    Record,
    away,
    crowded,
    full,
    now_ms,
)

Result = TypeVar("Result")


class SqliteStore:
    """Records in a file."""

    durable = True
    shared = True

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        live_seconds: float = LIVE_SECONDS,
        clock: Clock = now_ms,
    ) -> None:
        """Opens the file, and makes it where there is none.

        Args:
            path: of the file; its log, index and reserve stand beside it.
            max_bytes: of records and tombstones.
            live_seconds: for so long after it was written or touched nothing is evicted.
            clock: tells the time.

        Raises:
            SettingsError: the file can't be used.
        """
        self._path = path
        self._max_bytes, self._live_ms = max_bytes, int(live_seconds * 1e3)
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        self._connection = self._open()
        self._table = Table(self._connection, max_bytes, self._live_ms, clock)
        self._thread = ThreadPoolExecutor(1, "state-store")
        self._closed = False
        self._begins: Gathering[Record, Claim] = Gathering(
            self._begin, lambda record: record.stream_id
        )
        self._claims: Gathering[tuple[str, str], Claim] = Gathering(
            self._claim, lambda asked: asked[0]
        )

    def _open(self) -> sqlite3.Connection:
        try:
            connection = self._with_reserve(lambda: sqlite_file.connect(self._path))
        except sqlite3.Error as error:
            raise SettingsError(
                f"state_store {self._path} can't be used: its disk has no room ({error})"
            ) from None
        self._reserve.hold()
        return connection

    async def begin(self, record: Record) -> Claim:
        """Keeps a new stream's first record."""
        return await self._begins.ask(record)

    async def claim(self, stream_id: str, owner: str) -> Claim:
        """Takes a new epoch of a stream that is kept."""
        return await self._claims.ask((stream_id, owner))

    async def write(self, records: Sequence[Record]) -> list[bool]:
        """Writes what is not fenced, in one transaction."""
        return await self._run(lambda: self._grow(lambda: self._table.write(records)))

    async def touch(self, held: Sequence[tuple[str, int]]) -> None:
        """Puts off expiry."""
        await self._run(lambda: self._commit(lambda: self._table.touch(held)))

    async def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream."""
        return await self._run(lambda: self._table.read(stream_id))

    async def remove(self, stream_id: str, epoch: int, fate: Fate = Fate.CLOSED) -> bool:
        """Leaves a tombstone."""
        return await self._run(
            lambda: self._commit(lambda: self._table.remove(stream_id, epoch, fate))
        )

    async def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id, without payloads."""
        return await self._run(lambda: self._table.page(after, limit, owner))

    async def expire(self, before_ms: int) -> int:
        """Turns old records into tombstones, and drops old tombstones, a thousand at a time."""
        expired = 0
        while True:
            part, dropped = await self._run(
                lambda: self._commit(lambda: self._table.expire(before_ms))
            )
            expired += part
            if not part and not dropped:
                return expired

    async def held(self) -> Held:
        """Counts the rows."""
        return await self._run(self._table.held)

    @property
    def evicted(self) -> int:
        """Streams that made room here."""
        return self._table.evicted

    async def close(self) -> None:
        """Closes the file, which takes its log with it."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def _begin(self, records: Sequence[Record]) -> list[Claim]:
        return await self._run(lambda: self._grow(lambda: self._table.begin(records)))

    async def _claim(self, asked: Sequence[tuple[str, str]]) -> list[Claim]:
        return await self._run(lambda: self._commit(lambda: self._table.claim(asked)))

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Does work on the thread, and says what SQLite's errors mean."""
        if self._closed:
            raise away(str(self._path), "it is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise sqlite_file.refusal(error, self._path) from error

    def _grow(self, work: Callable[[], Result]) -> Result:
        """A transaction that needs room; it never takes the last of the disk."""
        if not self._reserve.hold():
            raise full(str(self._path), "its disk has no room")
        try:
            return self._transaction(work)
        except OverflowError:
            raise crowded(str(self._path), self._max_bytes, self._live_ms) from None

    def _commit(self, work: Callable[[], Result]) -> Result:
        """A transaction that has to be possible on a full disk too."""
        return self._with_reserve(lambda: self._transaction(work))

    def _with_reserve(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except sqlite3.Error as error:
            if not sqlite_file.is_full(error):
                raise
            self._reserve.give_up()
            return work()

    def _transaction(self, work: Callable[[], Result]) -> Result:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result
