"""A server whose streams are kept, without a transport; its keeper writes when a test says so."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import numpy as np
import pytest
from fakes import STATE, DurableStore, Float32, alone, chunk, fake_kept, fake_model, fake_streams

from service.durability import blob
from service.durability.kept import KeptStreams
from service.durability.keys import StateKeys
from service.durability.openings import Opening, Resume, parsed
from service.durability.operations import Operations, Summary
from service.errors import ServiceError
from service.models.served import ServedModel
from service.stores.memory import MemoryStore
from service.stores.store import Fate, Record, away
from service.streams.live import Stream
from service.streams.seam import Streams


class BreakableStore(DurableStore):
    """Can't be reached while it is told so.

    Attributes:
        sizes: how many records each write brought.
        wrote: set by each write that went well.
    """

    def __init__(self, max_bytes: int = 10**7) -> None:
        super().__init__(max_bytes)
        self.broken = False
        self.sizes: list[int] = []
        self.wrote = asyncio.Event()

    async def write(self, records: list[Record]) -> list[bool]:
        self._reach()
        self.sizes.append(len(records))
        written = await super().write(records)
        self.wrote.set()
        return written

    async def remove(self, stream_id: str, epoch: int, fate: Fate = Fate.CLOSED) -> bool:
        self._reach()
        return await super().remove(stream_id, epoch, fate)

    def _reach(self) -> None:
        if self.broken:
            raise away("memory:", "told to")


@dataclass
class KeptServer:
    """One server over a store that others may share."""

    model: ServedModel
    streams: Streams
    kept: KeptStreams
    store: MemoryStore

    @property
    def operations(self) -> Operations:
        return Operations(self.streams._models, self.streams, self.kept)

    async def begun(self, name: str = "pump", **fields: object) -> Stream:
        return (await self.kept.open(Opening("fake", stream_id=name, **fields))).stream

    async def resumed(self, name: str = "pump", owner: str = "", **has: int) -> Stream:
        opening = Opening("fake", stream_id=name, owner=owner, resume=Resume(**has))
        return (await self.kept.open(opening)).stream

    async def push(
        self, stream: Stream, inputs: Float32, acknowledged: int | None = None
    ) -> Float32:
        """Steps one by one; outputs (steps, OUTPUTS)."""
        outputs = []
        for step in inputs:
            sent = chunk(stream.expected, step[np.newaxis], acknowledged=acknowledged)
            outputs.append(await self.streams.push(stream, sent))
        return np.concatenate(outputs)

    async def under_way(self, stream: Stream, inputs: Float32) -> "asyncio.Task[Float32]":
        """One chunk that has been begun and is not done."""
        sent = chunk(stream.expected, inputs)
        task = asyncio.ensure_future(self.streams.push(stream, sent))
        await asyncio.sleep(0)
        assert stream.busy
        return task

    async def checkpoint(self) -> None:
        self.kept.keeper._checkpoint()
        await self.kept.keeper.flush()

    async def stored(self, name: str = "pump") -> tuple[int, int, list[float]]:
        """Chunks, steps and numbers of the state that the store has."""
        record = await self.store.read(name)
        assert record is not None
        keeper = self.kept.keeper
        snapshot = blob.decode(parsed(record).state, keeper.key, keeper.previous)
        assert snapshot.steps == record.steps
        return record.sequence, record.steps, snapshot.states[0].values.tolist()

    def counted(self, name: str, **labels: str) -> float:
        return self.kept._metrics.registry.get_sample_value(name, labels) or 0.0


def kept_server(
    store: MemoryStore | None = None,
    model: ServedModel | None = None,
    keys: StateKeys | None = None,
    **settings: object,
) -> KeptServer:
    store = store or BreakableStore()
    model = model or fake_model()
    streams = fake_streams(model)
    return KeptServer(model, streams, fake_kept(streams, store, keys, **settings), store)


def state_after(inputs: Float32) -> list[float]:
    """The numbers of a state, which are the first of the fake model's outputs."""
    numbers: list[float] = alone(inputs)[-1, :STATE].tolist()
    return numbers


def numbers(state: bytes) -> list[float]:
    """Those of a blob."""
    found: list[float] = blob.decode(state).states[0].values.tolist()
    return found


async def kept_stream(
    server: KeptServer, inputs: Float32, name: str = "pump", owner: str = ""
) -> None:
    """A stream that has taken these steps and whose call is over."""
    stream = await server.begun(name, owner=owner)
    await server.push(stream, inputs)
    server.kept.leave(stream)


async def listed(server: KeptServer, owner: str | None = "") -> list[Summary]:
    """The first page."""
    return (await server.operations.page("", 0, owner))[0]


async def reason(awaitable: Awaitable[object], kind: type[ServiceError]) -> str:
    """Why a call is refused."""
    with pytest.raises(kind) as caught:
        await awaitable
    return caught.value.reason
