"""Servers over one store and one id: none harms what another has, or claims to have ended it."""

import asyncio

import numpy as np
import pytest
from fakes import DurableStore, alone, chunk, distinct, fake_model
from kept_server import kept_server, state_after
from storage import a_record

from service.durability import blob
from service.errors import AlreadyExists, Exhausted, Gone, NotFound, Unavailable
from service.stores.store import Fate, full


async def taken_on(inputs):
    """A stream that was live at one server, and has taken two chunks more at another."""
    here = kept_server()
    there = kept_server(here.store)
    stale = await here.begun()
    await here.push(stale, inputs[:2])
    await here.checkpoint()
    live = await there.resumed()
    await there.push(live, inputs[2:4])
    await there.checkpoint()
    return here, stale, there, live


async def test_a_stream_that_is_live_elsewhere_and_was_never_stored_is_not_begun_again():
    here = kept_server()
    there = kept_server(here.store)
    inputs = distinct(4, 1)
    stream = await here.begun()
    await here.push(stream, inputs[:2])
    with pytest.raises(AlreadyExists) as caught:
        await there.begun()
    assert caught.value.reason == "STREAM_KEPT"
    await here.push(stream, inputs[2:])
    await here.checkpoint()
    assert stream.ended is None
    assert await here.stored() == (4, 4, state_after(inputs))


async def test_a_close_ends_the_stream_where_it_goes_on_and_not_the_copy_it_left():
    inputs = distinct(5, 2)
    here, _, there, live = await taken_on(inputs)
    steps, state = await here.operations.close("pump", "", return_state=True)
    assert (steps, blob.decode(state).states[0].values.tolist()) == (4, state_after(inputs[:4]))
    assert here.streams.live == 0
    await there.push(live, inputs[4:])
    await there.checkpoint()
    assert live.ended.reason == "TAKEN_OVER"
    with pytest.raises(Gone) as caught:
        await there.resumed()
    assert caught.value.reason == "STREAM_CLOSED"


async def test_the_caller_of_a_copy_that_was_left_is_not_told_that_it_closed_the_stream():
    inputs = distinct(5, 3)
    here, stale, there, live = await taken_on(inputs)
    # Before the store said so: the copy has no chunk to store, and so is not fenced yet.
    assert not await here.kept.keeper.removed(here.kept.close(stale))
    assert here.streams.live == 0
    await there.push(live, inputs[4:])
    await there.checkpoint()
    assert await there.stored() == (5, 5, state_after(inputs))


async def test_who_is_refused_for_want_of_a_slot_leaves_nothing_behind():
    server = kept_server(model=fake_model(capacity=1))
    other = await server.begun("fan")
    with pytest.raises(Exhausted):
        await server.begun()
    assert (await server.store.claim("pump", "")).fate is Fate.UNKNOWN

    server.kept.leave(other)
    old = await server.begun()
    inputs = distinct(2, 4)
    await server.push(old, inputs)
    server.kept.leave(old)
    await server.begun("belt")
    # Nor does it take from the store what it was to take the place of.
    with pytest.raises(Exhausted):
        await server.begun(replace=True)
    await server.kept.keeper.flush()
    assert await server.stored() == (2, 2, state_after(inputs))


@pytest.mark.parametrize("before", [Fate.UNKNOWN, Fate.EXPIRED, Fate.CLOSED])
async def test_who_came_second_to_the_last_slot_is_told_later_what_was_true_before(before):
    server = kept_server(model=fake_model(capacity=1))
    if before is not Fate.UNKNOWN:
        claim = await server.store.begin(a_record("pump", owner=""))
        await server.store.remove("pump", claim.epoch, before)
    begin = server.store.begin

    async def slow(record):
        await asyncio.sleep(0)
        return await begin(record)

    server.store.begin = slow
    first, second = await asyncio.gather(
        server.begun("fan"), server.begun(), return_exceptions=True
    )
    assert isinstance(second, Exhausted)
    await server.kept.keeper.flush()
    server.kept.close(first)

    if before is Fate.CLOSED:
        with pytest.raises(Gone):
            await server.resumed(received=0, replay_from=1)
        return
    inputs = distinct(3, 5)
    stream = await server.resumed(received=0, replay_from=1)
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()


async def test_a_model_that_went_while_a_stream_was_opened_does_not_close_that_stream():
    server = kept_server()
    begin = server.store.begin

    async def unload(record):
        server.streams._models.remove(server.model)
        return await begin(record)

    server.store.begin = unload
    with pytest.raises(NotFound):
        await server.begun()
    await server.kept.keeper.flush()
    # Another server has the model.
    there = kept_server(server.store)
    server.store.begin = begin
    stream = await there.resumed(received=0, replay_from=1)
    sent = distinct(1, 6)
    assert np.array_equal(await there.streams.push(stream, chunk(1, sent)), alone(sent))


async def test_the_owner_of_a_copy_that_was_left_learns_that_the_stream_was_closed():
    here, _, there, _ = await taken_on(distinct(4, 7))
    assert await there.operations.close("pump", "") == (4, b"")
    with pytest.raises(Gone) as caught:
        await here.operations.close("pump", "")
    assert caught.value.reason == "STREAM_CLOSED"
    assert here.streams.live == 0


class Full(DurableStore):
    """Takes nothing more while it is told so."""

    is_full = False

    async def begin(self, record):
        if record.stream_id not in self._kept:
            self._look()
        return await super().begin(record)

    async def write(self, records):
        self._look()
        return await super().write(records)

    def _look(self):
        if self.is_full:
            raise full("memory:", "told to")


async def test_who_is_refused_by_a_full_store_destroys_nothing_of_what_it_was_to_replace():
    server = kept_server(Full(10**7))
    inputs = distinct(4, 8)
    old = await server.begun()
    await server.push(old, inputs[:2])
    server.kept.leave(old)
    state = (await server.operations.export("pump", "")).state
    server.store.is_full = True
    with pytest.raises(Unavailable) as caught:
        await server.begun(replace=True)
    assert caught.value.reason == "STORE_FULL"
    with pytest.raises(Unavailable):
        await server.operations.import_state(state, "pump", "", replace=True)
    await server.kept.keeper.flush()
    assert await server.stored() == (2, 2, state_after(inputs[:2]))

    server.store.is_full = False
    again = await server.resumed(received=2)
    assert (await server.push(again, inputs[2:])).tobytes() == alone(inputs)[2:].tobytes()


async def test_what_was_replaced_is_gone_where_the_new_one_came_second_to_the_last_slot():
    server = kept_server(model=fake_model(capacity=1))
    inputs = distinct(2, 9)
    old = await server.begun()
    await server.push(old, inputs)
    server.kept.leave(old)
    await server.kept.keeper.flush()
    write = server.store.write

    async def slow(records):
        written = await write(records)
        await server.begun("fan")
        return written

    server.store.write = slow
    with pytest.raises(Exhausted):
        await server.begun(replace=True)
    await server.kept.keeper.flush()
    assert (await server.store.claim("pump", "")).fate is Fate.CLOSED
