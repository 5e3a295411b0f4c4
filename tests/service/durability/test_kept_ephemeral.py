"""Streams that end with their calls, under ids that others have or want."""

import asyncio

import pytest
from fakes import DurableStore, alone, distinct, fake_model
from kept_server import kept_server

from service.errors import AlreadyExists, NotFound, ServiceError, Unavailable


class Gate(DurableStore):
    """Lets nobody begin or claim while it is shut."""

    def __init__(self):
        super().__init__(10**7)
        self.asked, self.opened = asyncio.Event(), asyncio.Event()
        self.opened.set()

    def shut(self):
        self.asked.clear()
        self.opened.clear()

    async def begin(self, record):
        await self._pass()
        return await super().begin(record)

    async def claim(self, stream_id, owner):
        await self._pass()
        return await super().claim(stream_id, owner)

    async def _pass(self):
        self.asked.set()
        await self.opened.wait()


async def reason(awaitable, kind):
    with pytest.raises(kind) as caught:
        await awaitable
    return caught.value.reason


@pytest.mark.parametrize("resumes", [False, True])
async def test_none_slips_in_under_an_id_whose_open_waits_for_the_store(resumes):
    server = kept_server(Gate(), fake_model(capacity=2))
    inputs = distinct(4, 1)
    if resumes:
        server.kept.leave(await server.begun())
        await server.kept.keeper.flush()
    server.store.shut()
    opening = asyncio.ensure_future(server.resumed() if resumes else server.begun())
    await server.store.asked.wait()
    assert await reason(server.begun(ephemeral=True), Unavailable) == "STREAM_BUSY"
    server.store.opened.set()
    stream = await opening
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()
    server.kept.leave(stream)
    assert server.streams.live == server.model.arena.slots.taken == 0


async def test_one_that_waits_for_the_store_lets_nobody_else_in():
    server = kept_server(Gate())
    read, store = server.store.read, server.store

    async def slow(stream_id):
        await store._pass()
        return await read(stream_id)

    store.read = slow
    store.shut()
    opening = asyncio.ensure_future(server.begun(ephemeral=True))
    await store.asked.wait()
    assert await reason(server.begun(), Unavailable) == "STREAM_BUSY"
    store.opened.set()
    assert (await opening).keeping is None
    assert server.streams.live == server.model.arena.slots.taken == 1


@pytest.mark.parametrize("owner", ["alice", "mallory"])
async def test_an_id_under_which_a_stream_is_kept_is_refused(owner):
    server = kept_server()
    inputs = distinct(3, 2)
    stream = await server.begun(owner="alice")
    await server.push(stream, inputs[:1])
    server.kept.leave(stream)
    refused = server.begun(owner=owner, ephemeral=True)
    assert await reason(refused, AlreadyExists) == "STREAM_KEPT"
    exported = await server.operations.export("pump", "alice")
    assert exported.stream.steps == 1
    again = await server.resumed(owner="alice", received=1)
    assert (await server.push(again, inputs[1:])).tobytes() == alone(inputs)[1:].tobytes()
    # Once it is closed, anybody may have the id.
    server.kept.close(again)
    assert (await server.begun(owner=owner, ephemeral=True)).keeping is None


async def test_one_with_the_id_of_a_stream_that_was_begun_elsewhere_hides_it_from_nobody():
    here = kept_server(DurableStore(10**7))
    squatting = await here.begun(owner="mallory", ephemeral=True)
    there = kept_server(here.store)
    inputs = distinct(3, 3)
    stream = await there.begun(owner="alice")
    await there.push(stream, inputs[:2])
    there.kept.leave(stream)
    await there.kept.keeper.flush()

    assert (await here.operations.export("pump", "alice")).stream.steps == 2
    # Its client comes again, here or there, and does not give it up.
    assert await reason(here.resumed(owner="alice"), Unavailable) == "STREAM_BUSY"
    assert await reason(here.resumed(owner="eve"), NotFound) == "STREAM_NOT_FOUND"
    here.kept.leave(squatting)
    again = await here.resumed(owner="alice", received=2)
    assert (await here.push(again, inputs[2:])).tobytes() == alone(inputs)[2:].tobytes()


async def test_one_with_the_id_of_a_stream_elsewhere_is_not_closed_with_it():
    here = kept_server(DurableStore(10**7))
    squatting = await here.begun(owner="mallory", ephemeral=True)
    there = kept_server(here.store)
    stream = await there.begun(owner="alice")
    await there.push(stream, distinct(3, 4))
    there.kept.leave(stream)
    await there.kept.keeper.flush()
    assert (await here.operations.close("pump", "alice"))[0] == 3
    assert here.streams.get("pump") is squatting
    assert await here.store.read("pump") is None


async def test_a_live_stream_is_never_overwritten():
    server = kept_server()
    stream = await server.begun()
    with pytest.raises(ServiceError) as caught:
        server.streams.add(server.model, "pump")
    assert caught.value.reason == "STREAM_EXISTS"
    assert server.streams.get("pump") is stream
    assert server.streams.live == server.model.arena.slots.taken == 1
