"""Checkpoints: the states of kept streams, written to the store behind the tick's back.

Owns what waits to be written, the rounds in which it is written, and what a caller may be told to
be durable. A state is copied between two of its stream's chunks, while no step is under way, and
turned into bytes a few at a time, so that a round never holds up a tick. A round that took long is
followed by a longer pause. A write that fails is kept and tried again; a stream that is fenced,
since another server has claimed it, is ended here. Knows nothing of transports.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from service.background import turn
from service.durability.copies import Copy, copies_of, records_of
from service.durability.keys import StateKeys
from service.durability.removals import Removal, Removals
from service.durability.rounds import Rounds
from service.durability.sweeping import Sweeper
from service.errors import ServiceError
from service.metrics import Metrics
from service.models.served import ServedModel
from service.settings import Settings
from service.stores.store import Claim, Fate, Record, Store
from service.streams.live import Stream, taken_over
from service.tensors import Array

# Rounds may take one of so many parts of the time; records of one write, whose time is bounded.
_SHARE, _MOST_RECORDS = 20, 512
# Within which chunks that are under way land, most of them, and are written in the same round.
_LANDING_SECONDS = 0.02


class Keeper:
    """The one who writes states to a store and reads them back."""

    def __init__(
        self, store: Store, settings: Settings, metrics: Metrics, keys: StateKeys | None = None
    ) -> None:
        """Starts with nothing to write.

        Args:
            store: where states go.
            settings: how often, and how long they are kept.
            metrics: counts checkpoints and what became of them.
            keys: sign blobs, where there are any.
        """
        self.store, keys = store, keys or StateKeys()
        self.key, self.previous = keys.signing, keys.previous
        self._settings, self._metrics = settings, metrics
        # Ends a stream that another server has claimed.
        self.on_fenced: Callable[[Stream], object] = lambda stream: None
        self._dirty: dict[str, Stream] = {}
        self._copies: dict[str, Copy] = {}
        self._removals = Removals(store)
        # Streams whose states are copied as soon as no step is under way.
        self._leaving: dict[str, asyncio.Event] = {}
        self._held: dict[str, Stream] = {}
        # One write at a time, so that an older copy never lands behind a newer one.
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._sweeper = Sweeper(store, settings.state_seconds, metrics)
        self._rounds = Rounds(store, metrics)
        metrics.states.watch(lambda: self.waiting, self._lag, settings.state_bytes)

    @property
    def waiting(self) -> int:
        """Streams with chunks that are not stored, and removals."""
        return len(self._dirty.keys() | self._copies.keys()) + len(self._removals)

    def hold(self, stream: Stream) -> None:
        """Keeps a claimed stream from now on, or in place of the one that had its id."""
        self._held[stream.id] = stream
        if stream.id in self._dirty:
            self._dirty[stream.id] = stream

    def taken(self, stream: Stream, sequence: int, outputs: Array) -> None:
        """Notes a chunk of a kept stream that was just taken, with its outputs."""
        keeping = stream.keeping
        assert keeping is not None
        keeping.add(sequence, outputs, self._settings.max_unacknowledged_bytes)
        if not self.store.durable:
            return
        self._dirty[stream.id] = stream
        keeping.since = keeping.since or time.monotonic()
        limit = self._settings.checkpoint_steps
        full = limit and stream.steps - keeping.stored_steps >= limit
        if full:
            self._wake.set()
        if keeping.due or full:
            keeping.due = False
            self._copy_at_rest(stream.model, (stream,))

    def leave(self, stream: Stream) -> None:
        """Stores a stream whose call is over; it has to be idle, and its slot stays until then."""
        self.let_go(stream)
        copied = self._leaving[stream.id] = asyncio.Event()

        def left() -> None:
            # Whatever goes wrong, nobody waits for ever, and the slot is given back.
            with turn("copies of states"):
                self._copy(stream.model, (stream,))
            copied.set()
            self._leaving.pop(stream.id, None)
            self._wake.set()

        stream.model.batcher.at_rest(left)

    def forget(self, stream_id: str, epoch: int, fate: Fate = Fate.CLOSED) -> Removal:
        """Removes a stream; whoever asks for it is told what became of it."""
        for one in (self._held, self._dirty, self._copies):
            one.pop(stream_id, None)
        self._wake.set()
        return self._removals.add(Removal(stream_id, epoch, fate))

    async def removed(self, removal: Removal) -> bool:
        """Returns once a stream is removed; False where it goes on at another server.

        Where the store fails it is removed later: True.
        """
        with contextlib.suppress(ServiceError):
            async with self._writing:
                await self._removals.settle(removal.stream_id)
        return not removal.overtaken

    def let_go(self, stream: Stream) -> None:
        """Copies no state of a stream any more, since its slot may be another's from now on."""
        if self._has(stream):
            del self._held[stream.id]
            self._dirty.pop(stream.id, None)

    async def begin(self, record: Record) -> Claim:
        """Keeps a new stream's first record under a new epoch.

        Raises:
            Unavailable: the store can't be reached, or is full.
        """
        if any(record.stream_id in one for one in (self._removals, self._copies, self._leaving)):
            async with self._writing:
                await self._settle(record.stream_id)
        return await self.store.begin(record)

    async def claim(self, stream_id: str, owner: str) -> Claim:
        """Takes a new epoch of a stream that is kept; what waits to be written of it goes first.

        Raises:
            Unavailable: the store can't be reached.
        """
        async with self._writing:
            await self._settle(stream_id)
            return await self.store.claim(stream_id, owner)

    async def replace(self, record: Record) -> Claim:
        """Puts a new stream in the place of one that is kept, and fences its server."""
        async with self._writing:
            await self._settle(record.stream_id)
            claim = await self.store.claim(record.stream_id, record.owner)
            if not claim.epoch:
                return await self.store.begin(record)
            # One write, so that where it fails, what was kept still is.
            (written,) = await self.store.write([replace(record, epoch=claim.epoch)])
            return Claim(claim.epoch if written else 0, Fate.CLOSED)

    async def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream; what waits to be written of it goes first."""
        async with self._writing:
            await self._settle(stream_id)
            return await self.store.read(stream_id)

    async def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id as in `Store.page`; what was closed is not among them."""
        async with self._writing:
            await self._removals.settle_all()
            return await self.store.page(after, limit, owner)

    async def run(self) -> None:
        """Checkpoints and sweeps until it is cancelled."""
        period = self._settings.checkpoint_ms * 1e-3
        due = time.monotonic() + period
        with turn("the store's measure"):
            await self._sweeper.measure()
        while True:
            # Something has left and is to be written now, or a checkpoint is due.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, due - time.monotonic()))
            self._wake.clear()
            started = time.monotonic()
            with turn("checkpoints"):
                if started >= due:
                    self._checkpoint()
                    await asyncio.sleep(_LANDING_SECONDS)
                await self.flush()
            ended = time.monotonic()
            if started >= due:
                due = max(started + period, ended + _SHARE * (ended - started - _LANDING_SECONDS))
            with turn("the store's sweep"):
                await self._sweeper.sweep(self._held.values())

    async def flush(self) -> None:
        """Writes all that waits; what the store does not take now stays."""
        await asyncio.gather(*(copied.wait() for copied in self._leaving.values()))
        with self._rounds.one(len(self._copies) + len(self._removals)):
            # A bound, since streams that go on bring more while this is written.
            for _ in range(1 + len(self._copies) // _MOST_RECORDS):
                async with self._writing:
                    await self._removals.settle_all()
                    if self._copies:
                        await self._write(list(islice(self._copies.values(), _MOST_RECORDS)))

    async def close(self) -> None:
        """Lets go of the store."""
        await self.store.close()

    def _checkpoint(self) -> None:
        """Copies the states of streams that took chunks; of busy ones as soon as these are done."""
        idle: dict[int, list[Stream]] = {}
        for stream in self._dirty.values():
            if stream.busy:
                assert stream.keeping is not None
                stream.keeping.due = True
            else:
                idle.setdefault(id(stream.model), []).append(stream)
        for streams in idle.values():
            self._copy_at_rest(streams[0].model, streams)

    def _copy_at_rest(self, model: ServedModel, streams: Sequence[Stream]) -> None:
        """Copies states while no step is under way, of those that are still here by then."""

        def copy() -> None:
            # One model's failure is no other's, nor that of the chunk which has just landed.
            with turn("copies of states"):
                self._copy(model, [stream for stream in streams if self._has(stream)])

        model.batcher.at_rest(copy)

    def _copy(self, model: ServedModel, streams: Sequence[Stream]) -> None:
        """Copies the states of idle streams of one model; no step is under way."""
        for copy in copies_of(model, streams):
            keeping = copy.stream.keeping
            assert keeping is not None
            waiting = self._copies.get(copy.stream.id)
            since = waiting.since if waiting else keeping.since or time.monotonic()
            keeping.stored_steps, keeping.since = copy.steps, 0.0
            self._copies[copy.stream.id] = copy._replace(since=since)
            self._dirty.pop(copy.stream.id, None)

    def _has(self, stream: Stream) -> bool:
        """Whether a stream is live here, in these hands or in those that took it over."""
        held = self._held.get(stream.id)
        return held is not None and held.keeping is stream.keeping

    async def _settle(self, stream_id: str) -> None:
        """Writes what waits of one stream; the lock is held."""
        leaving = self._leaving.get(stream_id)
        if leaving is not None:
            await leaving.wait()
        await self._removals.settle(stream_id)
        copy = self._copies.get(stream_id)
        if copy is not None:
            await self._write([copy])

    async def _write(self, copies: Sequence[Copy]) -> None:
        """Writes copies; the lock is held."""
        records = await records_of(copies, self.key)
        written = await self.store.write(records)
        self._metrics.states.checkpointed(sum(written))
        for copy, record, kept in zip(copies, records, written, strict=True):
            if self._copies.get(record.stream_id) is copy:
                del self._copies[record.stream_id]
            if kept:
                self._stored(copy)
            else:
                self._fence(copy.stream)

    def _stored(self, copy: Copy) -> None:
        keeping = copy.stream.keeping
        assert keeping is not None
        keeping.stored = max(keeping.stored, copy.sequence)
        if self.store.durable:
            keeping.durable = keeping.stored

    def _fence(self, copied: Stream) -> None:
        """Ends a stream here that goes on elsewhere."""
        # Perhaps in other hands by now; one of the same id that is none of it stays.
        stream = self._held[copied.id] if self._has(copied) else copied
        self._metrics.ended("fenced")
        self.on_fenced(stream)
        self.let_go(stream)
        stream.end(taken_over(stream.id))

    def _lag(self) -> float:
        """Age of the oldest chunk that is not stored. Called on another thread than all else."""
        # A list is made at one stroke. Both stand in the order in which their chunks were taken.
        dirty = [one.keeping.since for one in list(self._dirty.values())[:1] if one.keeping]
        copied = [one.since for one in list(self._copies.values())[:1]]
        now = time.monotonic()
        return now - min((since for since in dirty + copied if since), default=now)
