"""What happens to kept streams while something else happens to them."""

import asyncio

import numpy as np
import pytest
from fakes import FakeEngine, alone, chunk, distinct, fake_kept, fake_model, fake_streams
from kept_server import state_after
from storage import Clock

from service.durability import blob
from service.durability.openings import Opening, Resume, parsed
from service.durability.operations import Operations
from service.errors import Exhausted, Gone, ModelFault, Unavailable
from service.stores.memory import MemoryStore


class DurableStore(MemoryStore):
    """A memory that passes for a disk, so that two servers can share it."""

    durable = True
    shared = True


def server(store=None, engine=None):
    model = fake_model(engine)
    streams = fake_streams(model)
    return model, streams, fake_kept(streams, store)


async def push(streams, stream, inputs, first=1):
    """Steps one by one; outputs (steps, outputs)."""
    outputs = [
        await streams.push(stream, chunk(number, step[np.newaxis]))
        for number, step in enumerate(inputs, start=first)
    ]
    return np.concatenate(outputs)


async def checkpoint(kept):
    kept.keeper._checkpoint()
    await kept.keeper.flush()


async def begun(kept, name="pump"):
    return (await kept.open(Opening("fake", stream_id=name))).stream


async def resumed(kept, **has):
    return (await kept.open(Opening("fake", stream_id="pump", resume=Resume(**has)))).stream


async def test_the_state_of_a_stream_that_failed_is_never_taken_from_the_next_one_in_its_slot():
    def fail(rows):
        if failing:
            raise RuntimeError("told to")

    failing = False
    store, engine = DurableStore(10**6), FakeEngine(before_step=fail)
    _, streams, kept = server(store, engine)
    stream = await begun(kept)
    await push(streams, stream, distinct(1, 1))
    failing = True
    with pytest.raises(ModelFault):
        await push(streams, stream, distinct(1, 2), first=2)
    failing = False

    other = await begun(kept, "fan")
    assert other.slot.row == stream.slot.row
    await push(streams, other, distinct(3, 3))
    await checkpoint(kept)
    assert (await store.read("pump")).sequence == 0
    assert (await store.read("fan")).sequence == 3


async def test_a_call_that_breaks_before_its_first_chunk_can_be_resumed():
    model, streams, kept = server()
    kept.leave(await begun(kept))
    assert model.arena.slots.taken == 0
    stream = await resumed(kept, received=0, replay_from=1)
    inputs = distinct(3, 4)
    assert (await push(streams, stream, inputs)).tobytes() == alone(inputs).tobytes()
    # Nothing was taken: whoever begins anew does not need to say so.
    _, _, kept = server()
    kept.leave(await begun(kept))
    await begun(kept)


async def test_an_imported_state_outlives_a_call_that_took_no_chunk():
    _, streams, kept = server()
    operations = Operations(streams._models, streams, kept)
    inputs = distinct(5, 5)
    source = await begun(kept, "source")
    await push(streams, source, inputs[:2])
    await operations.fork("source", "pump", "")

    kept.leave(await resumed(kept))
    stream = await resumed(kept)
    assert (stream.steps, stream.expected) == (2, 1)
    after = await push(streams, stream, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()


async def test_a_stream_that_went_on_elsewhere_is_not_taken_over_where_it_stopped():
    store = DurableStore(10**6)
    _, streams_a, kept_a = server(store)
    _, streams_b, kept_b = server(store)
    inputs = distinct(9, 6)
    stale = await begun(kept_a)
    await push(streams_a, stale, inputs[:3])
    await checkpoint(kept_a)
    there = await resumed(kept_b, received=3)
    await push(streams_b, there, inputs[3:6], first=4)
    kept_b.leave(there)
    await kept_b.keeper.flush()

    here = await resumed(kept_a, received=6, replay_from=6)
    assert here.expected == 7
    after = await push(streams_a, here, inputs[6:], first=7)
    assert after.tobytes() == alone(inputs)[6:].tobytes()
    assert streams_a.live == here.model.arena.slots.taken == 1


async def test_streams_of_a_model_that_is_unloaded_are_kept():
    model, streams, kept = server()
    inputs = distinct(4, 7)
    stream = await begun(kept)
    await push(streams, stream, inputs[:2])
    told = []
    stream.on_end = told.append
    under_way = asyncio.ensure_future(streams.push(stream, chunk(3, inputs[2:])))
    await asyncio.sleep(0)
    streams._models.remove(model)
    await streams.evict(model, 0)
    assert [error.reason for error in told] == ["MODEL_UNLOADED"]
    assert model.arena.slots.taken == 0
    with pytest.raises(Unavailable):
        await resumed(kept)

    await under_way
    streams._models.add(fake_model())
    again = await resumed(kept, received=3)
    assert (again.expected, again.steps) == (4, 4)


async def test_a_stream_is_not_opened_on_a_model_that_was_unloaded_meanwhile():
    model, streams, kept = server()
    opening = asyncio.ensure_future(begun(kept))
    begin = kept.keeper.store.begin

    async def unload(record):
        streams._models.remove(model)
        streams._models.add(fake_model())
        await streams.evict(model, 0)
        return await begin(record)

    kept.keeper.store.begin = unload
    with pytest.raises(Unavailable) as caught:
        await opening
    assert caught.value.reason == "MODEL_UNLOADED"
    assert streams.live == 0


async def test_an_export_of_a_stream_whose_chunk_fails_gives_no_state():
    def fail(rows):
        raise RuntimeError("told to")

    _, streams, kept = server(engine=FakeEngine(before_step=fail))
    stream = await begun(kept)
    under_way = asyncio.ensure_future(push(streams, stream, distinct(1, 8)))
    await asyncio.sleep(0)
    with pytest.raises(Gone):
        await Operations(streams._models, streams, kept).export("pump", "")
    with pytest.raises(ModelFault):
        await under_way


async def test_an_export_says_of_the_state_it_brings_what_it_has_taken():
    _, streams, kept = server()
    inputs = distinct(5, 12)
    stream = await begun(kept)
    await push(streams, stream, inputs[:3])
    copy = kept.copy

    async def copied(stream):
        taken = await copy(stream)
        await push(streams, stream, inputs[3:], first=4)
        return taken

    kept.copy = copied
    exported = await Operations(streams._models, streams, kept).export("pump", "")
    (state,) = blob.decode(exported.state).states
    assert state.values.tolist() == state_after(inputs[:3])
    assert (exported.stream.sequence, exported.stream.steps) == (3, 3)


async def test_a_new_stream_takes_the_place_of_one_that_was_claimed_and_not_written_since():
    store = DurableStore(10**6)
    _, streams_a, kept_a = server(store)
    stream = await begun(kept_a)
    await push(streams_a, stream, distinct(2, 9))
    await checkpoint(kept_a)
    await store.claim("pump", "")

    _, streams_b, kept_b = server(store)
    opening = Opening("fake", stream_id="pump", replace=True)
    anew = (await kept_b.open(opening)).stream
    inputs = distinct(2, 10)
    await push(streams_b, anew, inputs)
    await checkpoint(kept_b)
    record = await store.read("pump")
    assert (record.epoch, record.sequence) == (anew.keeping.epoch, 2)
    assert parsed(record).results[0].data == alone(inputs)[0].tobytes()


async def test_a_resume_that_found_no_free_slot_does_not_close_what_it_began_again():
    clock = Clock()
    store = MemoryStore(10**6, clock=clock)
    model = fake_model(capacity=1)
    streams = fake_streams(model)
    kept = fake_kept(streams, store)
    inputs = distinct(2, 11)
    stream = await begun(kept)
    await push(streams, stream, inputs)
    kept.leave(stream)
    await kept.keeper.flush()
    clock.pass_seconds(1)
    await store.expire(clock())

    other = await begun(kept, "fan")
    with pytest.raises(Exhausted):
        await resumed(kept, received=2, replay_from=1)
    await kept.keeper.flush()
    kept.close(other)
    again = await resumed(kept, received=2, replay_from=1)
    assert again.expected == 1
    assert (await push(streams, again, inputs)).tobytes() == alone(inputs).tobytes()


async def test_a_stream_that_is_fenced_in_a_chunk_leaves_its_row_to_nobody_before_that_is_done():
    store = DurableStore(10**8)
    model, streams, kept = server(store)
    _, _, elsewhere = server(store)
    pump = (await kept.open(Opening("fake", stream_id="pump"))).stream
    inputs, others = distinct(400, 1), distinct(20, 2)
    await push(streams, pump, inputs[:1])
    await elsewhere.open(Opening("fake", stream_id="pump", replace=True))
    kept.keeper._checkpoint()
    zombie = asyncio.create_task(streams.push(pump, chunk(2, inputs[1:])))
    await asyncio.sleep(0)
    await kept.keeper.flush()
    assert (pump.ended.reason, pump.busy) == ("TAKEN_OVER", True)
    fan = (await kept.open(Opening("fake", stream_id="fan"))).stream
    assert fan.slot.row != pump.slot.row
    assert (await push(streams, fan, others)).tobytes() == alone(others).tobytes()
    assert (await zombie).tobytes() == alone(inputs)[1:].tobytes()
    assert model.arena.slots.taken == 1
