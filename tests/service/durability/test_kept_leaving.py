"""Streams that are left, sent away or taken over: what becomes of slots, states and results."""

import asyncio

import pytest
from fakes import OUTPUTS, DurableStore, FakeEngine, alone, chunk, distinct, fake_model
from kept_server import kept_server, state_after

from service.durability.openings import Opening, Resume
from service.errors import AlreadyExists, Gone, InvalidArgument, ModelFault, stopping
from service.stores.memory import MemoryStore


def told(stream):
    """Reasons that the call of a stream is told."""
    reasons = []
    stream.on_end = lambda error: reasons.append(error.reason)
    return reasons


async def test_a_stream_that_is_left_within_a_chunk_gives_its_slot_back_behind_it():
    server = kept_server()
    inputs = distinct(6, 1)
    stream = await server.begun()
    await server.under_way(stream, inputs[:4])
    server.kept.leave(stream)
    assert server.model.arena.slots.taken == 1
    while stream.busy:  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0)
    assert server.model.arena.slots.taken == server.streams.live == 0
    again = await server.resumed(received=1)
    after = await server.push(again, inputs[4:])
    assert after.tobytes() == alone(inputs)[4:].tobytes()


async def test_an_ephemeral_stream_that_is_left_ends():
    server = kept_server()
    stream = await server.begun(ephemeral=True)
    await server.push(stream, distinct(1, 2))
    server.kept.leave(stream)
    assert server.model.arena.slots.taken == server.streams.live == 0
    await server.kept.keeper.flush()
    assert await server.store.read("pump") is None


async def test_what_a_call_closes_that_has_lost_its_stream_is_not_the_stream():
    server = kept_server()
    inputs = distinct(5, 3)
    lost = await server.begun()
    await server.push(lost, inputs[:3])
    heir = await server.resumed(received=3)
    await server.push(heir, inputs[3:])
    assert server.kept.close(lost) is None
    await server.checkpoint()
    assert await server.stored() == (5, 5, state_after(inputs))
    assert heir.keeping.durable == 5


async def test_a_server_that_ends_keeps_its_streams_and_tells_their_calls():
    server = kept_server()
    inputs, others = distinct(5, 4), distinct(2, 5)
    busy, idle = await server.begun(), await server.begun("fan")
    ephemeral = await server.begun("belt", ephemeral=True)
    await server.push(busy, inputs[:2])
    await server.push(idle, others)
    reasons = {one.id: told(one) for one in (busy, idle, ephemeral)}
    under_way = await server.under_way(busy, inputs[2:])
    server.kept.leave_all()
    # One within a chunk, and one that nobody can go on with elsewhere, go on here.
    assert reasons == {"pump": [], "fan": ["SERVER_STOPPING"], "belt": []}
    assert (await under_way).tobytes() == alone(inputs)[2:].tobytes()
    assert reasons == {"pump": ["SERVER_STOPPING"], "fan": ["SERVER_STOPPING"], "belt": []}
    assert [one.id for one in server.streams] == ["belt"]
    assert server.model.arena.slots.taken == 1
    assert server.counted("statewise_evictions_total", reason="drained") == 2
    await server.kept.keeper.flush()
    assert await server.stored() == (3, 5, state_after(inputs))
    assert await server.stored("fan") == (2, 2, state_after(others))


async def test_a_server_that_ends_lets_those_go_on_whose_states_end_with_it():
    server = kept_server(MemoryStore(10**6))
    inputs = distinct(3, 6)
    stream = await server.begun()
    reasons = told(stream)
    server.kept.leave_all()
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()
    assert reasons == []


async def test_who_has_lost_a_stream_is_not_sent_away_with_it():
    server = kept_server()
    inputs = distinct(4, 7)
    lost = await server.begun()
    await server.push(lost, inputs[:2])
    heir = await server.resumed(received=2)
    reasons = told(heir)
    server.kept.send_away(lost, stopping(), "drained")
    assert lost.ended.reason == "TAKEN_OVER"
    after = await server.push(heir, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()
    assert reasons == []
    assert server.counted("statewise_evictions_total", reason="drained") == 0


async def test_who_is_being_taken_over_is_not_sent_away_too():
    server = kept_server()
    inputs = distinct(6, 8)
    stream = await server.begun()
    under_way = await server.under_way(stream, inputs[:3])
    resuming = asyncio.ensure_future(server.resumed(received=0))
    await asyncio.sleep(0)
    server.kept.send_away(stream, stopping(), "drained")
    await under_way
    heir = await resuming
    assert stream.ended.reason == "TAKEN_OVER"
    after = await server.push(heir, inputs[3:])
    assert after.tobytes() == alone(inputs)[3:].tobytes()
    assert server.counted("statewise_evictions_total", reason="drained") == 0


@pytest.mark.parametrize("has", [{"received": 0}, {"received": 3, "replay_from": 5}])
async def test_a_take_over_that_is_refused_leaves_the_stream_to_who_has_enough_of_it(has):
    server = kept_server()
    inputs = distinct(5, 9)
    stream = await server.begun()
    await server.push(stream, inputs[:3])
    with pytest.raises(Gone):
        await server.resumed(**has)
    assert server.model.arena.slots.taken == 0
    again = await server.resumed(received=3)
    assert again.expected == 4
    sent = chunk(4, inputs[3:])
    assert (await server.streams.push(again, sent)).tobytes() == alone(inputs)[3:].tobytes()


@pytest.mark.parametrize("unloaded", [False, True])
async def test_a_stream_whose_chunk_failed_is_not_kept_by_who_leaves_it(unloaded):
    def fail(rows):
        if failing:
            raise RuntimeError("told to")

    failing = False
    server = kept_server(model=fake_model(FakeEngine(before_step=fail)))
    inputs = distinct(2, 10)
    stream = await server.begun()
    await server.push(stream, inputs)
    await server.checkpoint()
    failing = True
    under_way = await server.under_way(stream, distinct(1, 11))
    if unloaded:
        server.streams._models.remove(server.model)
        evicting = asyncio.ensure_future(server.streams.evict(server.model, 0))
        await asyncio.sleep(0)
    with pytest.raises(ModelFault):
        await under_way
    if unloaded:
        await evicting
    else:
        # Its row is another's by then.
        failing = False
        await server.push(await server.begun("fan"), distinct(3, 20))
        server.kept.leave(stream)
    await server.kept.keeper.flush()
    assert await server.stored() == (2, 2, state_after(inputs))


async def test_an_ephemeral_stream_whose_model_is_unloaded_ends():
    server = kept_server()
    stream = await server.begun(ephemeral=True)
    await server.push(stream, distinct(2, 12))
    reasons = told(stream)
    server.streams._models.remove(server.model)
    await server.streams.evict(server.model, 0)
    assert reasons == ["MODEL_UNLOADED"]
    assert server.model.arena.slots.taken == server.streams.live == 0
    assert server.store.sizes == []


@pytest.mark.parametrize("fields", [{"replace": True}, {"ephemeral": True}])
async def test_nobody_opens_over_a_live_stream(fields):
    server = kept_server()
    inputs = distinct(5, 13)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    with pytest.raises(AlreadyExists) as caught:
        await server.begun(**fields)
    assert caught.value.reason == "STREAM_EXISTS"
    after = await server.push(stream, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()
    await server.checkpoint()
    assert await server.stored() == (5, 5, state_after(inputs))


async def test_results_are_sent_again_however_often_a_call_breaks_before_the_next_chunk():
    server = kept_server()
    inputs = distinct(4, 14)
    stream = await server.begun()
    await server.push(stream, inputs, acknowledged=0)
    opening = Opening("fake", stream_id="pump", resume=Resume(received=1))
    for _ in range(3):
        server.kept.leave(stream)
        opened = await server.kept.open(opening)
        stream = opened.stream
        assert [one.data for one in opened.results] == [row.tobytes() for row in alone(inputs)[1:]]


@pytest.mark.parametrize("most", [0, 2 * 4 * OUTPUTS])
async def test_the_newest_result_is_kept_however_large_it_is(most):
    server = kept_server(DurableStore(10**6), max_unacknowledged_bytes=most)
    inputs = distinct(4, 20)
    stream = await server.begun()
    await server.push(stream, inputs[:1], acknowledged=0)
    await (await server.under_way(stream, inputs[1:]))
    server.kept.leave(stream)
    opening = Opening("fake", stream_id="pump", resume=Resume(received=1, replay_from=2))
    opened = await server.kept.open(opening)
    assert [one.data for one in opened.results] == [alone(inputs)[1:].tobytes()]
    assert opened.stream.expected == 3


@pytest.mark.parametrize("fields", [{"model": "other"}, {"model": "fake", "version": "2"}])
async def test_a_live_stream_is_not_taken_over_for_another_model(fields):
    server = kept_server()
    inputs = distinct(3, 15)
    stream = await server.begun()
    reasons = told(stream)
    with pytest.raises(InvalidArgument) as caught:
        await server.kept.open(Opening(stream_id="pump", resume=Resume(), **fields))
    assert caught.value.reason == "STREAM_MODEL"
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()
    assert reasons == []


async def test_a_call_that_takes_over_is_sent_the_results_that_it_lacks():
    server = kept_server()
    inputs = distinct(4, 18)
    stream = await server.begun()
    await server.push(stream, inputs, acknowledged=0)
    opening = Opening("fake", stream_id="pump", resume=Resume(received=2))
    results = (await server.kept.open(opening)).results
    assert [one.data for one in results] == [row.tobytes() for row in alone(inputs)[2:]]


async def test_a_resumed_stream_is_checkpointed_after_so_many_steps_more():
    server = kept_server(checkpoint_steps=4)
    inputs = distinct(8, 19)
    stream = await server.begun()
    await server.push(stream, inputs[:3])
    server.kept.leave(stream)
    stream = await server.resumed(received=3)
    durable = []
    for step in inputs[3:]:
        await server.push(stream, step[None])
        await server.kept.keeper.flush()
        durable.append(stream.keeping.durable)
    assert durable == [3, 3, 3, 7, 7]
