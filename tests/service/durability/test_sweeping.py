"""What is forgotten, by the server's own sweep."""

import pytest
from fakes import alone, distinct
from kept_server import kept_server, state_after
from storage import Clock

from service.durability import sweeping
from service.errors import Gone
from service.stores.memory import MemoryStore

SECONDS = 10.0


class Time:
    """What the sweep knows of the time: that of the store's clock."""

    def __init__(self, clock):
        self.clock = clock

    def time(self):
        return self.clock() * 1e-3

    monotonic = time


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(sweeping, "time", Time(clock))
    return clock


@pytest.fixture
def server(clock):
    return kept_server(MemoryStore(10**7, clock=clock), state_seconds=SECONDS)


async def pass_time(server, clock, seconds):
    """The clock goes on by a second at a time, and the keeper sweeps as often."""
    for _ in range(seconds):
        clock.pass_seconds(1)
        await server.kept.keeper._sweeper.sweep(server.kept.keeper._held.values())


async def test_a_silent_stream_that_is_live_stays_and_one_that_was_left_expires(server, clock):
    inputs = distinct(3, 1)
    live, left = await server.begun("live"), await server.begun("left")
    for stream in (live, left):
        await server.push(stream, inputs[:1])
    server.kept.leave(left)
    await server.kept.keeper.flush()
    await pass_time(server, clock, 9)
    assert (await server.store.read("left")).sequence == 1
    await pass_time(server, clock, 3)
    with pytest.raises(Gone) as caught:
        await server.resumed("left", received=1)
    assert caught.value.reason == "EXPIRED"
    assert server.counted("statewise_evictions_total", reason="expired") == 1

    # Long after, a call that breaks finds it.
    await pass_time(server, clock, 30)
    await server.push(live, inputs[1:2])
    server.kept.leave(live)
    await server.kept.keeper.flush()
    assert await server.stored("live") == (2, 2, state_after(inputs[:2]))
    again = await server.resumed("live", received=2)
    assert (await server.push(again, inputs[2:])).tobytes() == alone(inputs)[2:].tobytes()
    assert server.counted("statewise_evictions_total", reason="expired") == 1


async def test_a_silent_stream_of_another_server_is_not_kept_alive_by_this_one(server, clock):
    there = kept_server(server.store, state_seconds=SECONDS)
    await server.push(await server.begun(), distinct(1, 2))
    await there.resumed(received=1)
    # It has lost the stream, and does not know it yet.
    await pass_time(server, clock, 12)
    assert await server.store.read("pump") is None


async def test_a_store_is_asked_a_tenth_of_the_time_apart(server, clock):
    asked = []
    expire = server.store.expire

    async def seen(before_ms):
        asked.append(clock.now)
        return await expire(before_ms)

    server.store.expire = seen
    sweeper, held = server.kept.keeper._sweeper, server.kept.keeper._held.values()
    for _ in range(25):
        clock.pass_seconds(0.1)
        await sweeper.sweep(held)
    assert asked == [1_001_000, 1_002_000]
