"""Servers over one store, and callers who know what every answer has to be.

Owns what each of them does alone; what happens when is `world`'s affair.
"""

import asyncio
from concurrent.futures import Executor

import numpy as np
from fakes import FakeEngine, alone, chunk, distinct, fake_kept, fake_model, fake_streams
from storage import Clock

from service.durability import blob
from service.durability.openings import Opening, Resume
from service.durability.operations import Operations
from service.errors import ServiceError
from service.stores.memory import MemoryStore
from service.stores.store import away
from service.streams.live import Stream

NAMES = ("pump", "fan", "belt", "saw")
STEPS = 40
# Fewer slots than streams, so that slots go from hand to hand.
CAPACITY = 3


class Line:
    """One server's connection to the store, which can be cut."""

    durable = shared = True

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.down = False

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        async def called(*arguments: object) -> object:
            # Somebody else may come before it and behind it; its answer may be lost.
            await asyncio.sleep(0)
            self._look()
            answer = await found(*arguments)
            await asyncio.sleep(0)
            self._look()
            return answer

        return called

    def _look(self) -> None:
        if self.down:
            raise away("shared", "the line is cut")


class Server:
    """A server; what was live on it is gone with it."""

    def __init__(self, store: MemoryStore, executor: Executor | None) -> None:
        self.line, self.executor = Line(store), executor
        self.load()
        self.streams = fake_streams(self.model)
        self.kept = fake_kept(self.streams, self.line)
        self.operations = Operations(self.streams._models, self.streams, self.kept)
        self.crashed = False

    def load(self) -> None:
        self.model = fake_model(FakeEngine(max_batch=2), capacity=CAPACITY)
        self.model.batcher._executor = self.executor

    async def unload(self) -> None:
        """Its model's file is read again: what is live has to part."""
        old = self.model
        self.load()
        self.streams._models.add(self.model)
        await self.streams.evict(old, 0)
        assert old.arena.slots.taken == 0

    async def sweep(self, clock: Clock) -> None:
        """Forgets what nobody holds."""
        keeper = self.kept.keeper
        await keeper.store.touch([(one.id, one.keeping.epoch) for one in keeper._held.values()])
        await keeper.store.expire(clock())

    def check(self) -> None:
        """Every live stream has a slot of its own, and what is not live is not held."""
        slots = [(id(stream.model), stream.slot.row) for stream in self.streams]
        assert len(set(slots)) == len(slots), "a slot in two hands"
        for stream in self.streams:
            generation = stream.model.arena.slots._generations[stream.slot.row]
            assert generation == stream.slot.generation, "a slot that was given back"
        free, waiting = self.model.arena.slots._free, self.model.batcher._backlog._ready
        rows = {ready.slot for ready in waiting if not ready.dropped}
        assert rows.isdisjoint(free), "a step in a row that was given back"
        for name, held in self.kept.keeper._held.items():
            live = self.streams.get(name)
            assert live is not None and live.keeping is held.keeping, "held and not live"


class Caller:
    """One caller with all of its inputs, who goes on wherever it can."""

    def __init__(self, name: str) -> None:
        self.name, self.life = name, 0
        self.server: Server | None = None
        self.stream: Stream | None = None
        self.begin()

    def begin(self) -> None:
        """A stream with inputs of its own."""
        self.life += 1
        self.inputs = distinct(STEPS, 1000 * self.life + NAMES.index(self.name))
        self.outputs = alone(self.inputs)
        # Of each chunk that was sent, its steps.
        self.sizes: list[int] = []
        self.received = 0
        self.tried = self.left_over = self.closing = False
        self.stream = None
        # A call that hangs, and what it may yet bring.
        self.ghost: tuple[Server, Stream] | None = None

    @property
    def done(self) -> bool:
        return sum(self.sizes) == STEPS and self.received == len(self.sizes)

    def part(self, number: int) -> slice:
        start = sum(self.sizes[: number - 1])
        return slice(start, start + self.sizes[number - 1])

    def following(self, stream: Stream, size: int) -> int:
        """The number of the chunk that a stream waits for, `size` is a new one's; 0 for none."""
        number = stream.expected
        if number > len(self.sizes):
            size = min(size, STEPS - sum(self.sizes))
            if not size:
                return 0
            self.sizes.append(size)
        return number

    async def open(self, server: Server) -> None:
        resume = Resume(self.received, replay_from=1) if self.tried else None
        # Whoever never hears the answer has to ask for what is there.
        self.tried = True
        try:
            opened = await server.kept.open(Opening("fake", stream_id=self.name, resume=resume))
        except ServiceError:
            self.tried = resume is not None
            raise
        stream = opened.stream
        assert stream.steps == sum(self.sizes[: stream.expected - 1])
        numbers = [one.sequence for one in opened.results]
        assert numbers == list(range(self.received + 1, stream.expected)), "a result is missing"
        for one in opened.results:
            self.take(one.sequence, np.frombuffer(one.data, "<f4"))
        self.server, self.stream = server, stream

    async def push(self, size: int) -> None:
        """Sends what the server asks for: a chunk again, or the next."""
        stream, server = self.stream, self.server
        number = self.following(stream, size)
        if not number:
            return
        sent = chunk(number, self.inputs[self.part(number)], acknowledged=self.received)
        self.take(number, await server.streams.push(stream, sent))

    def forget(self) -> None:
        if self.stream is not None:
            self.ghost = self.server, self.stream
        self.stream = None

    async def haunt(self, server: Server, stream: Stream, size: int) -> None:
        """Chunks that were under way on a call that hangs arrive; their answers are lost."""
        while (server, stream) == self.ghost and not server.crashed and not stream.busy:
            number = self.following(stream, size)
            if not number:
                return
            part = self.part(number)
            expected = self.outputs[part]
            sent = chunk(number, self.inputs[part], acknowledged=self.received)
            outputs = await server.streams.push(stream, sent)
            assert outputs.tobytes() == expected.tobytes(), "another's state in a call that hangs"

    async def close(self, server: Server) -> None:
        # It is done even where its answer is lost.
        self.closing = True
        await server.operations.close(self.name, "")
        self.begin()

    async def export(self, server: Server) -> None:
        exported = await server.operations.export(self.name, "")
        # Perhaps of a life before; but what it says of the steps is what they have made of it.
        steps, (state,) = exported.stream.steps, blob.decode(exported.state).states
        assert state.values[1] == (2 - 2 ** (1 - steps) if steps else 0)

    def take(self, number: int, outputs: np.ndarray) -> None:
        expected = self.outputs[self.part(number)]
        assert outputs.tobytes() == expected.tobytes(), "another's state"
        assert number <= self.received + 1
        self.received = max(self.received, number)

    def leave(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None and not self.server.crashed:
            self.server.kept.leave(stream)
