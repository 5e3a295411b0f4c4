"""The keeper, where something comes while it is at something else: one write at a time."""

import asyncio
from types import SimpleNamespace

import pytest
from fakes import alone, distinct, fake_model
from kept_server import kept_server, state_after

from service.durability import keeping

CALLS = ("begin", "claim", "write", "read", "remove", "page")


class Order:
    """What a store is asked, in order; its first write is held up until it is let go."""

    def __init__(self, store):
        self.calls, self.reached, self.go_on = [], asyncio.Event(), asyncio.Event()
        for name in CALLS:
            setattr(store, name, self.seen(name, getattr(store, name)))

    def seen(self, name, method):
        async def seen(*arguments):
            self.calls.append(name)
            if self.calls == ["write"]:
                self.reached.set()
                await self.go_on.wait()
            return await method(*arguments)

        return seen


async def writing(server):
    """The order of what a store is asked from now on, and the write that it is held up in."""
    server.kept.keeper._checkpoint()
    order = Order(server.store)
    written = asyncio.ensure_future(server.kept.keeper.flush())
    await order.reached.wait()
    return order, written


async def close(server, stream):
    assert await server.kept.keeper.removed(server.kept.close(stream))


async def begin(server, stream):
    server.kept.leave(stream)
    await server.begun(replace=True)


@pytest.mark.parametrize(
    ("act", "asked"),
    [
        (close, "remove"),
        (begin, "begin"),
        (lambda server, stream: server.resumed(received=2), "claim"),
        (lambda server, stream: server.kept.keeper.read("pump"), "read"),
        (lambda server, stream: server.kept.keeper.page("", 9, None), "page"),
        (lambda server, stream: server.checkpoint(), None),
    ],
)
async def test_what_is_asked_of_a_stream_that_is_being_written_waits_for_the_write(act, asked):
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(2, 1))
    order, written = await writing(server)
    acting = asyncio.ensure_future(act(server, stream))
    for _ in range(20):
        await asyncio.sleep(0)
    assert order.calls == ["write"]
    order.go_on.set()
    await asyncio.gather(written, acting)
    assert asked is None or asked in order.calls


async def test_a_call_that_takes_over_while_its_stream_is_written_is_not_fenced_by_that():
    server = kept_server()
    inputs = distinct(5, 2)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    order, written = await writing(server)
    resuming = asyncio.ensure_future(server.resumed(received=2))
    await asyncio.sleep(0)
    order.go_on.set()
    heir, _ = await asyncio.gather(resuming, written)
    assert heir.ended is None
    after = await server.push(heir, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()
    await server.checkpoint()
    assert await server.stored() == (5, 5, state_after(inputs))


async def test_a_copy_that_is_taken_while_the_one_before_is_written_is_written_too():
    server = kept_server()
    inputs = distinct(3, 15)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    order, written = await writing(server)
    await server.push(stream, inputs[2:])
    server.kept.keeper._checkpoint()
    order.go_on.set()
    await written
    await server.kept.keeper.flush()
    assert await server.stored() == (3, 3, state_after(inputs))
    assert stream.keeping.durable == 3


async def test_streams_of_two_models_in_one_round_keep_their_own_states():
    server = kept_server()
    server.streams._models.add(fake_model(version=2))
    data = {"pump": distinct(2, 16), "fan": distinct(3, 17)}
    for (name, inputs), version in zip(data.items(), "12", strict=True):
        await server.push(await server.begun(name, version=version), inputs)
    await server.checkpoint()
    for name, inputs in data.items():
        assert await server.stored(name) == (len(inputs), len(inputs), state_after(inputs))


async def test_a_copy_that_goes_wrong_holds_up_nobody(monkeypatch):
    server = kept_server()
    inputs = distinct(4, 7)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    await server.checkpoint()
    with monkeypatch.context() as broken:
        broken.setattr(server.model.arena, "read", None)
        server.kept.keeper.leave(stream)
    assert not server.kept.keeper._leaving
    heir = await asyncio.wait_for(server.resumed(received=2), 30)
    after = await server.push(heir, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()


async def test_what_the_store_does_not_hear_of_is_removed_later():
    server = kept_server()
    stream = await server.begun()
    server.store.broken = True
    assert await server.kept.keeper.removed(server.kept.close(stream))
    assert await server.store.read("pump") is not None
    server.store.broken = False
    await server.kept.keeper.flush()
    assert await server.store.read("pump") is None


async def test_nothing_waits_of_a_stream_that_is_fenced():
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(1, 8))
    server.kept.keeper._checkpoint()
    await server.push(stream, distinct(1, 9))
    await server.store.claim("pump", "")
    await server.kept.keeper.flush()
    assert stream.ended.reason == "TAKEN_OVER"
    assert server.counted("statewise_states_waiting") == 0
    assert server.counted("statewise_checkpoints_total") == 0


async def test_what_leaves_is_written_without_waiting_for_a_checkpoint():
    server = kept_server(checkpoint_ms=3_600_000)
    inputs = distinct(2, 10)
    rounds = asyncio.ensure_future(server.kept.keeper.run())
    stream = await server.begun()
    await server.push(stream, inputs)
    server.kept.leave(stream)
    await asyncio.wait_for(server.store.wrote.wait(), 30)
    assert await server.stored() == (2, 2, state_after(inputs))
    rounds.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rounds


async def test_a_round_that_took_long_is_followed_by_a_longer_pause(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(keeping, "time", SimpleNamespace(monotonic=lambda: clock.now))
    server = kept_server(checkpoint_ms=1_000)
    keeper, write = server.kept.keeper, server.store.write

    async def slowly(records):
        clock.now += 0.52
        return await write(records)

    async def look(now):
        clock.now = now
        keeper._wake.set()
        for _ in range(50):
            await asyncio.sleep(0)

    server.store.write = slowly
    rounds = asyncio.ensure_future(keeper.run())
    stream = await server.begun()
    await server.push(stream, distinct(1, 13))
    await look(1.0)
    await asyncio.wait_for(server.store.wrote.wait(), 30)
    await server.push(stream, distinct(1, 14))
    # Half a second of writing, which may be one part of twenty of the time.
    await look(11.4)
    assert server.kept.keeper._dirty
    await look(11.6)
    assert not server.kept.keeper._dirty
    rounds.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rounds
