"""Streams that outlive their calls: what a resume finds, and what it is refused for."""

import asyncio

import numpy as np
import pytest
from fakes import DurableStore, alone, chunk, distinct, fake_kept, fake_model, fake_streams

from service.durability.openings import Opening, Resume
from service.errors import AlreadyExists, Exhausted, Gone, NotFound
from service.stores.memory import MemoryStore
from service.streams.live import idle


def server(store=None):
    model = fake_model()
    streams = fake_streams(model)
    return model, streams, fake_kept(streams, store)


async def push(streams, stream, inputs, first=1, acknowledged=0):
    """Steps one by one; outputs (steps, outputs)."""
    outputs = []
    for number, step in enumerate(inputs, start=first):
        sent = chunk(number, step[np.newaxis], acknowledged=acknowledged)
        outputs.append(await streams.push(stream, sent))
    return np.concatenate(outputs)


async def test_a_stream_that_was_left_goes_on_with_the_same_bits():
    model, streams, kept = server()
    inputs = distinct(9, 1)
    opened = await kept.open(Opening("fake", stream_id="pump"))
    before = await push(streams, opened.stream, inputs[:4])
    kept.leave(opened.stream)
    assert model.arena.slots.taken == 0

    again = await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=4)))
    assert (again.resumed, again.results, again.stream.expected) == (True, (), 5)
    after = await push(streams, again.stream, inputs[4:], first=5)
    assert np.concatenate([before, after]).tobytes() == alone(inputs).tobytes()


async def test_results_that_the_caller_did_not_get_are_sent_again():
    _, streams, kept = server()
    inputs = distinct(5, 2)
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await push(streams, stream, inputs, acknowledged=1)
    kept.leave(stream)

    again = await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=2)))
    assert [one.sequence for one in again.results] == [3, 4, 5]
    expected = alone(inputs)
    assert [one.data for one in again.results] == [row.tobytes() for row in expected[2:]]

    kept.leave(again.stream)
    with pytest.raises(Gone) as caught:
        await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=0)))
    assert caught.value.reason == "OUTPUTS_LOST"


async def test_who_acknowledges_nothing_has_the_last_two_results_kept():
    _, streams, kept = server()
    inputs = distinct(4, 10)
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await push(streams, stream, inputs, acknowledged=None)
    kept.leave(stream)

    again = await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=2)))
    assert [one.data for one in again.results] == [row.tobytes() for row in alone(inputs)[2:]]
    kept.leave(again.stream)
    with pytest.raises(Gone) as caught:
        await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=1)))
    assert caught.value.reason == "OUTPUTS_LOST"


async def test_a_chunk_under_way_is_taken_before_a_stream_is_left():
    _, streams, kept = server()
    inputs = distinct(6, 3)
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    task = asyncio.ensure_future(streams.push(stream, chunk(1, inputs)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept.leave(stream)
    await idle(stream)

    again = await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=0)))
    assert again.stream.steps == 6
    assert again.results[0].data == alone(inputs).tobytes()


async def test_a_live_stream_is_taken_over_and_the_call_before_is_told():
    model, streams, kept = server()
    inputs = distinct(4, 4)
    first = (await kept.open(Opening("fake", stream_id="pump"))).stream
    told = []
    first.on_end = told.append
    await push(streams, first, inputs[:2])

    second = (await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=2)))).stream
    assert [error.reason for error in told] == ["TAKEN_OVER"]
    with pytest.raises(Gone):
        await push(streams, first, inputs[2:], first=3)
    after = await push(streams, second, inputs[2:], first=3)
    assert after.tobytes() == alone(inputs)[2:].tobytes()
    # What the call before does on its way out is no longer its affair.
    kept.leave(first)
    assert model.arena.slots.taken == streams.live == 1


async def test_another_server_goes_on_and_the_first_is_fenced():
    store = DurableStore(10**6)
    _, streams_a, kept_a = server(store)
    _, streams_b, kept_b = server(store)
    inputs = distinct(8, 5)
    there = (await kept_a.open(Opening("fake", stream_id="pump"))).stream
    await push(streams_a, there, inputs[:3])
    kept_a.keeper._checkpoint()
    await kept_a.keeper.flush()
    assert there.keeping.durable == 3
    await push(streams_a, there, inputs[3:5], first=4)

    resume = Resume(received=5, replay_from=4)
    here = await kept_b.open(Opening("fake", stream_id="pump", resume=resume))
    assert here.stream.expected == 4
    after = await push(streams_b, here.stream, inputs[3:], first=4)
    assert after.tobytes() == alone(inputs)[3:].tobytes()

    told = []
    there.on_end = told.append
    kept_a.keeper._checkpoint()
    await kept_a.keeper.flush()
    assert [error.reason for error in told] == ["TAKEN_OVER"]
    assert streams_a.live == 0
    kept_b.leave(here.stream)
    await kept_b.keeper.flush()
    assert (await store.read("pump")).sequence == 8


async def test_a_stream_that_has_taken_no_chunk_goes_on_elsewhere_as_its_server_stops():
    store = DurableStore(10**6)
    _, _, kept_a = server(store)
    _, streams_b, kept_b = server(store)
    await kept_a.open(Opening("fake", stream_id="pump"))
    kept_a.leave_all()
    await kept_a.keeper.flush()
    resume = Resume(received=0, replay_from=1)
    here = await kept_b.open(Opening("fake", stream_id="pump", resume=resume))
    inputs = distinct(4, 7)
    assert (await push(streams_b, here.stream, inputs)).tobytes() == alone(inputs).tobytes()


@pytest.mark.parametrize(
    ("resume", "reason"),
    [(Resume(replay_from=7), "STATE_LOST"), (Resume(received=3, replay_from=7), "STATE_LOST")],
)
async def test_a_caller_that_has_forgotten_too_much_is_told(resume, reason):
    _, streams, kept = server()
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await push(streams, stream, distinct(5, 6))
    kept.leave(stream)
    with pytest.raises(Gone) as caught:
        await kept.open(Opening("fake", stream_id="pump", resume=resume))
    assert caught.value.reason == reason


async def test_an_id_that_is_kept_is_not_begun_anew_by_mistake():
    _, streams, kept = server()
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await push(streams, stream, distinct(1, 7))
    kept.leave(stream)
    with pytest.raises(AlreadyExists) as caught:
        await kept.open(Opening("fake", stream_id="pump"))
    assert caught.value.reason == "STREAM_KEPT"
    anew = await kept.open(Opening("fake", stream_id="pump", replace=True))
    assert anew.stream.expected == 1


async def test_streams_that_are_not_there_differ():
    _, streams, kept = server()

    async def reason(resume):
        with pytest.raises((Gone, NotFound)) as caught:
            await kept.open(Opening("fake", stream_id="pump", resume=resume))
        return caught.value.reason

    assert await reason(Resume()) == "STREAM_NOT_FOUND"
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    kept.close(stream)
    assert await reason(Resume(replay_from=1)) == "STREAM_CLOSED"
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await push(streams, stream, distinct(2, 8))
    kept.leave(stream)
    await kept.keeper.flush()
    await kept.keeper.store.expire(10**15)
    assert await reason(Resume()) == "EXPIRED"
    begun = await kept.open(Opening("fake", stream_id="pump", resume=Resume(replay_from=1)))
    assert (begun.resumed, begun.stream.expected) == (False, 1)


async def test_streams_of_others_are_not_there():
    _, streams, kept = server()
    stream = (await kept.open(Opening("fake", stream_id="pump", owner="one"))).stream
    await push(streams, stream, distinct(2, 9))
    for _ in range(2):
        with pytest.raises(NotFound):
            opening = Opening("fake", stream_id="pump", owner="two", resume=Resume())
            await kept.open(opening)
        kept.leave(stream)


async def test_a_stream_that_made_room_for_others_is_told_so():
    _, streams, kept = server(MemoryStore(1_000))
    for name in ("pump", "fan"):
        stream = (await kept.open(Opening("fake", stream_id=name))).stream
        await push(streams, stream, distinct(1, 11))
        kept.leave(stream)
        await kept.keeper.flush()
    with pytest.raises(Gone) as caught:
        await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=1)))
    assert caught.value.reason == "EVICTED"


async def test_what_a_call_acknowledges_that_has_lost_its_stream_is_still_kept():
    _, streams, kept = server()
    inputs = distinct(4, 15)
    lost = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await push(streams, lost, inputs[:3])
    resume = Opening("fake", stream_id="pump", resume=Resume(received=0))
    heir = (await kept.open(resume)).stream
    with pytest.raises(Gone):
        await push(streams, lost, inputs[3:], first=4, acknowledged=3)
    # The call that has it now may have lost them.
    assert [sequence for sequence, _ in heir.keeping.results] == [1, 2, 3]


async def test_without_room_nothing_is_begun(monkeypatch):
    streams = fake_streams(fake_model(capacity=1))
    kept = fake_kept(streams)
    first = await kept.open(Opening("fake", stream_id="pump"))
    monkeypatch.setattr(kept.turns, "take", None)
    for ephemeral in (False, True):
        with pytest.raises(Exhausted):
            await kept.open(Opening("fake", stream_id="fan", ephemeral=ephemeral))
    monkeypatch.undo()
    # Who comes back to its stream needs no room of its own.
    again = await kept.open(Opening("fake", stream_id="pump", resume=Resume(received=0)))
    assert (again.stream.id, again.stream.slot) == ("pump", first.stream.slot)
