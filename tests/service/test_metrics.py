"""Metrics: every one is documented, and each counts what its text says."""

import asyncio
import re
from pathlib import Path

import pytest
from fakes import FakeEngine, chunk, distinct, fake_batcher, fake_model, submit
from prometheus_client import CollectorRegistry

from service.durability.keeping import Keeper
from service.durability.kept import KeptStreams
from service.durability.openings import Opening, Resume
from service.errors import Unavailable
from service.metrics import Metrics
from service.models.served import Models
from service.settings import Settings
from service.stores.memory import MemoryStore
from service.streams.seam import Streams

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"


class DiskStore(MemoryStore):
    """A memory that passes for a disk, and can be told to fail."""

    durable = True
    broken = False

    async def write(self, records):
        if self.broken:
            raise Unavailable("the disk is away", reason="STORE_UNAVAILABLE")
        return await super().write(records)


class Server:
    """Streams with a store behind them, all counted in one place."""

    def __init__(self, store=None, **settings):
        self.model = fake_model()
        self.metrics = Metrics()
        options = Settings(Path("unused"), **settings)
        models = Models([self.model])
        self.streams = Streams(models, options, self.metrics)
        self.store = store or DiskStore(options.state_bytes)
        self.keeper = Keeper(self.store, options, self.metrics)
        self.kept = KeptStreams(models, self.streams, self.keeper, self.metrics)

    async def open(self, stream_id, resume=None):
        return (await self.kept.open(Opening("fake", stream_id=stream_id, resume=resume))).stream

    async def push(self, stream, seed):
        await self.streams.push(stream, chunk(stream.expected, distinct(1, seed)))

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"statewise_{name}", labels)

    def evicted(self, reason):
        return self.value("evictions_total", reason=reason)


def rows(registry: CollectorRegistry) -> list[str]:
    """The table of the page, as the registry has it."""
    found = []
    for collector, names in sorted(registry._collector_to_names.items(), key=lambda one: one[1]):
        if any(name.startswith("statewise_") for name in names):
            (family,) = collector.collect()
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in collector._labelnames)
            found.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return found


def test_the_page_has_exactly_the_metrics_that_there_are():
    documented = re.findall(r"^\| `statewise_.*\|$", PAGE.read_text(), re.MULTILINE)

    assert documented == rows(Metrics().registry), "\n".join(rows(Metrics().registry))


async def test_steps_wait_and_are_counted_once_a_tick():
    batcher, arena = fake_batcher(FakeEngine(max_batch=2))
    slots = [arena.acquire() for _ in range(5)]

    await asyncio.gather(*(submit(batcher, slot, distinct(3, slot.row)) for slot in slots))

    waited = batcher._metrics.queue_wait
    assert sum(waited.counts) == 15
    assert waited.total * 1e9 == pytest.approx(batcher.statistics.queue_ns)


async def test_steps_that_came_to_nothing_are_counted():
    engine = FakeEngine()
    batcher, arena = fake_batcher(engine)

    def fail(rows):
        raise ArithmeticError

    engine.before_step = fail
    await asyncio.gather(
        *(submit(batcher, arena.acquire(), distinct(1, seed)) for seed in range(3)),
        return_exceptions=True,
    )

    assert batcher._metrics.failed._value.get() == 3


async def test_the_lag_is_the_age_of_the_oldest_chunk_that_is_not_stored(monkeypatch):
    server = Server()
    now = 100.0
    monkeypatch.setattr("service.durability.keeping.time.monotonic", lambda: now)
    first, second = await server.open("first"), await server.open("second")
    assert server.value("checkpoint_lag_seconds") == 0

    await server.push(first, 1)
    now = 107.0
    await server.push(first, 2)
    await server.push(second, 3)
    assert server.value("checkpoint_lag_seconds") == 7
    assert server.value("states_waiting") == 2

    server.store.broken = True
    server.keeper._checkpoint()
    await server.keeper.flush()
    now = 110.0
    await server.push(first, 4)
    server.keeper._checkpoint()
    assert server.value("checkpoint_lag_seconds") == 10
    assert server.value("store_failures_total", reason="STORE_UNAVAILABLE") == 1
    assert server.value("checkpoint_round_seconds_count") == 0

    server.store.broken = False
    await server.keeper.flush()
    now = 111.0
    assert server.value("checkpoint_lag_seconds") == 0
    assert server.value("states_waiting") == 0
    assert server.value("checkpoint_round_seconds_count") == 1
    assert server.value("checkpoints_total") == 2
    # What is stored makes the next chunk no older.
    await server.push(first, 5)
    assert server.value("checkpoint_lag_seconds") == 0


async def test_resumes_and_what_was_taken_over_are_counted_apart():
    server = Server()
    stream = await server.open("pump")
    await server.push(stream, 1)
    server.kept.leave(stream)

    await server.open("pump", Resume(received=1))
    assert server.value("streams_resumed_total") == 1
    assert server.value("streams_taken_over_total") == 0
    await server.open("pump", Resume(received=1))
    assert server.value("streams_resumed_total") == 2
    assert server.value("streams_taken_over_total") == 1


async def test_a_stream_that_another_server_has_claimed_is_counted_as_fenced():
    here = Server()
    there = Server(here.store)
    stream = await here.open("pump")
    await here.push(stream, 1)
    here.keeper._checkpoint()
    await here.keeper.flush()
    await here.push(stream, 2)

    await there.open("pump", Resume(received=1, replay_from=2))
    here.keeper._checkpoint()
    await here.keeper.flush()

    assert here.evicted("fenced") == 1
    assert there.value("streams_resumed_total") == 1


async def test_states_that_make_room_or_expire_are_counted_and_what_is_kept_is_told():
    server = Server(MemoryStore(1_500))
    for number in range(4):
        stream = await server.open(f"pump-{number}")
        await server.push(stream, number)
        server.kept.leave(stream)
        await server.keeper.flush()
    await server.keeper._sweeper.measure()
    held = await server.store.held()
    assert server.evicted("size") == 4 - held.states
    assert server.value("kept_states") == held.states > 0
    assert server.value("kept_bytes") == held.bytes > 512
    assert server.value("max_kept_bytes") == 1024**3

    for one in server.store._kept.values():
        one.since_ms = 0
    server.keeper._sweeper._due = 0.0
    await server.keeper._sweeper.sweep([])
    assert server.evicted("expired") == held.states


async def test_streams_that_are_sent_away_or_cut_are_counted():
    server = Server()
    stream = await server.open("kept")
    await server.push(stream, 1)
    server.streams.open("fake", stream_id="ephemeral")
    server.streams.open("fake", stream_id="other")

    server.kept.leave_all()
    assert server.evicted("drained") == 1
    await server.streams.drain(0.0)
    assert server.evicted("drained") == 3


async def test_streams_of_a_version_that_is_unloaded_are_counted():
    server = Server()
    server.streams.open("fake", stream_id="a")
    server.streams.open("fake", stream_id="b")

    await server.streams.evict(server.model, 0.0)

    assert server.evicted("unloaded") == 2
