"""The keeper, where steps are computed on a thread: states are copied between two of them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes import STATE, FakeEngine, alone, distinct, fake_model
from kept_server import kept_server, state_after

from service.durability.openings import Opening, Resume
from service.errors import AlreadyExists, Gone, ModelFault, Unavailable
from service.stores.memory import MemoryStore


@pytest.fixture
def slow():
    """Whether steps may end, of an engine whose steps are computed on a thread."""
    may_end = threading.Event()
    may_end.set()
    with ThreadPoolExecutor(1) as executor:
        model = fake_model(FakeEngine(before_step=lambda rows: may_end.wait(30)))
        model.batcher._executor = executor
        yield model, may_end
        may_end.set()


async def computing(server, inputs):
    """A chunk of another stream, whose step is being computed."""
    task = await server.under_way(await server.begun("fan"), inputs)
    await asyncio.sleep(0)
    assert server.model.batcher._flying
    return task


@pytest.mark.parametrize("leaves", [True, False])
async def test_no_state_is_copied_while_a_step_is_under_way(slow, leaves):
    model, may_end = slow
    server, flying = kept_server(model=model), []
    read = model.arena.read
    model.arena.read = lambda rows: flying.append(model.batcher._flying) or read(rows)
    inputs = distinct(2, 3)
    idle = await server.begun()
    await server.push(idle, inputs)
    may_end.clear()
    under_way = await computing(server, distinct(1, 4))
    if leaves:
        server.kept.leave(idle)
    else:
        server.kept.keeper._checkpoint()
    may_end.set()
    await under_way
    await server.kept.keeper.flush()
    assert await server.stored() == (2, 2, state_after(inputs))
    assert flying
    assert not any(flying)


async def test_a_flush_waits_for_what_leaves_when_the_step_under_way_is_done(slow):
    model, may_end = slow
    server, inputs = kept_server(model=model), distinct(2, 11)
    stream = await server.begun()
    await server.push(stream, inputs)
    may_end.clear()
    under_way = await computing(server, distinct(1, 12))
    server.kept.leave(stream)
    flushing = asyncio.ensure_future(server.kept.keeper.flush())
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(under_way, flushing)
    assert await server.stored() == (2, 2, state_after(inputs))


async def test_what_leaves_while_a_step_is_under_way_is_not_begun_over_by_mistake(slow):
    model, may_end = slow
    # One that no other server shares, where an id that took no chunk is begun over.
    server = kept_server(MemoryStore(10**6), model)
    inputs = distinct(4, 5)
    left = await server.begun()
    await server.push(left, inputs[:2])
    may_end.clear()
    under_way = await computing(server, distinct(1, 6))
    server.kept.leave(left)
    beginning = asyncio.ensure_future(server.begun())
    await asyncio.sleep(0)
    may_end.set()
    await under_way
    with pytest.raises(AlreadyExists):
        await beginning
    stream = await server.resumed(received=2)
    after = await server.push(stream, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()


async def test_what_is_closed_before_the_step_under_way_is_done_is_not_copied_any_more(slow):
    model, may_end = slow
    server = kept_server(model=model)
    stream = await server.begun()
    await server.push(stream, distinct(2, 18))
    may_end.clear()
    under_way = await computing(server, distinct(1, 19))
    server.kept.keeper._checkpoint()
    server.kept.close(stream)
    may_end.set()
    await under_way
    await server.kept.keeper.flush()
    assert server.store.sizes == []
    assert await server.store.read("pump") is None


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (lambda server, stream: server.kept.close(stream), "STREAM_CLOSED"),
        (lambda server, stream: server.kept.keeper._fence(stream), "TAKEN_OVER"),
    ],
)
async def test_who_copies_a_stream_that_ends_meanwhile_is_told_why(slow, happens, reason):
    model, may_end = slow
    server = kept_server(model=model)
    stream = await server.begun()
    await server.push(stream, distinct(2, 20))
    may_end.clear()
    under_way = await computing(server, distinct(1, 21))
    copying = asyncio.ensure_future(server.kept.copy(stream))
    await asyncio.sleep(0)
    happens(server, stream)
    # Another stream under its name is not it.
    server.streams.open("fake", stream_id="pump")
    may_end.set()
    await under_way
    with pytest.raises(Gone) as caught:
        await copying
    assert caught.value.reason == reason


async def test_a_stream_whose_model_is_unloaded_is_kept_behind_its_chunk(slow):
    model, may_end = slow
    server = kept_server(model=model)
    inputs = distinct(6, 22)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    may_end.clear()
    under_way = await server.under_way(stream, inputs[2:])
    server.streams._models.remove(model)
    evicting = asyncio.ensure_future(server.streams.evict(model, 0))
    while stream.ended is None:  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0)
    # Nobody takes it over meanwhile.
    resuming = asyncio.ensure_future(server.resumed(received=3))
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(under_way, evicting)
    with pytest.raises(Unavailable) as caught:
        await resuming
    assert caught.value.reason == stream.ended.reason == "MODEL_UNLOADED"
    await server.kept.keeper.flush()
    assert await server.stored() == (3, 6, state_after(inputs))
    assert model.arena.slots.taken == 0


async def test_a_chunk_that_is_under_way_is_whole_before_its_stream_is_taken_over(slow):
    model, may_end = slow
    server = kept_server(model=model)
    inputs = distinct(7, 23)
    stream = await server.begun()
    may_end.clear()
    under_way = await server.under_way(stream, inputs[:4])
    opening = Opening("fake", stream_id="pump", resume=Resume(received=0))
    resuming = asyncio.ensure_future(server.kept.open(opening))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not resuming.done()
    may_end.set()
    await under_way
    heir = await resuming
    assert [one.data for one in heir.results] == [alone(inputs)[:4].tobytes()]
    after = await server.push(heir.stream, inputs[4:])
    assert after.tobytes() == alone(inputs)[4:].tobytes()


async def test_a_stream_whose_chunk_fails_while_it_is_taken_over_goes_on_from_what_is_stored(
    slow, monkeypatch
):
    def fail(tick):
        may_end.wait(30)
        raise RuntimeError("told to")

    model, may_end = slow
    server = kept_server(model=model)
    inputs = distinct(5, 24)
    stream = await server.begun()
    await server.push(stream, inputs[:2], acknowledged=0)
    await server.checkpoint()
    opening = Opening("fake", stream_id="pump", resume=Resume(received=1))
    with monkeypatch.context() as broken:
        broken.setattr(model.batcher, "_compute", fail)
        may_end.clear()
        under_way = await server.under_way(stream, distinct(1, 25))
        resuming = asyncio.ensure_future(server.kept.open(opening))
        for _ in range(20):
            await asyncio.sleep(0)
        assert stream.ended is not None
        # Its row is another's from then on.
        others = np.full(STATE, 7, np.float32)
        stream.on_idle.append(lambda: model.arena.write(stream.slot, others))
        may_end.set()
        with pytest.raises(ModelFault):
            await under_way
    heir = (await resuming).stream
    assert (heir.expected, heir.steps) == (3, 2)
    assert model.arena.slots.taken == server.streams.live == 1
    after = await server.push(heir, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()
