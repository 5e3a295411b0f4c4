"""How calls of the native wire end: behind the chunk under way, and for one reason."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from fakes import FakeEngine, alone, distinct, fake_model
from kept_server import kept_server, state_after
from native import ask, chunk, failure, listening, opened, opening, said

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1 import stream_pb2_grpc as rpc
from service.streams.live import taken_over


@asynccontextmanager
async def serving(server):
    async with listening(server.streams, server.kept) as (channel, servicer):
        yield rpc.StreamServiceStub(channel), servicer


@pytest.fixture
def slow():
    """A server whose steps are computed on a thread, and whether they may end."""
    may_end = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        model = fake_model(FakeEngine(before_step=lambda rows: may_end.wait(30)))
        model.batcher._executor = executor
        yield kept_server(model=model), may_end
        may_end.set()


async def busy(server):
    """The stream, once its chunk is under way."""
    stream = server.streams.get("pump")
    while not stream.busy:  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0)
    return stream


async def closing(server, stub, may_end, inputs):
    """A call that has closed its stream, whose state waits for the step of another one."""
    call = await opened(stub, stream_id="pump")
    may_end.set()
    await ask(call, chunk(1, inputs))
    may_end.clear()
    other = await server.under_way(await server.begun("fan"), distinct(1, 9))
    await call.write(wire.ClientMessage(close=wire.Close(return_state=True)))
    while not server.model.batcher._resting:  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0)
    return call, other


@pytest.mark.parametrize("first", ["SERVER_STOPPING", "TAKEN_OVER"])
async def test_a_call_that_is_ended_has_the_answer_to_its_chunk_and_the_first_reason(slow, first):
    server, may_end = slow
    inputs = distinct(3, 1)
    async with serving(server) as (stub, servicer):
        call = await opened(stub, stream_id="pump")
        await call.write(chunk(1, inputs))
        stream = await busy(server)
        if first == "TAKEN_OVER":
            stream.on_end(taken_over("pump"))
        cutting = asyncio.ensure_future(servicer.cut(30))
        await asyncio.sleep(0)
        may_end.set()
        assert (await call.read()).result.data == alone(inputs).tobytes()
        assert said(await failure(call))[1] == first
        await cutting


async def test_when_all_calls_are_cut_all_slots_are_back():
    server = kept_server()
    async with serving(server) as (stub, servicer):
        for number in range(3):
            await opened(stub, stream_id=f"pump-{number}")
        assert server.model.arena.slots.taken == 3
        await servicer.cut(30)
        assert server.model.arena.slots.taken == server.streams.live == 0


async def test_a_call_that_comes_behind_the_cut_opens_nothing():
    server = kept_server()
    async with serving(server) as (stub, servicer):
        await servicer.cut(30)
        call = stub.Stream()
        # It may be told before it has said anything.
        with suppress(grpc.RpcError):
            await call.write(opening(stream_id="pump"))
        assert said(await failure(call)) == ("UNAVAILABLE", "SERVER_STOPPING")
    assert await server.store.read("pump") is None


async def test_a_caller_that_hangs_up_is_no_error(caplog):
    caplog.set_level(logging.WARNING)
    server = kept_server()
    async with serving(server) as (stub, servicer):
        call = await opened(stub)
        call.cancel()
        while servicer._calls:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_close_that_a_take_over_comes_before_ends_nothing_of_the_heir(slow):
    server, may_end = slow
    inputs = distinct(5, 2)
    async with serving(server) as (stub, _):
        call, other = await closing(server, stub, may_end, inputs[:2])
        resuming = asyncio.ensure_future(server.resumed(received=1))
        for _ in range(20):
            await asyncio.sleep(0)
        may_end.set()
        heir = await resuming
        assert said(await failure(call)) == ("FAILED_PRECONDITION", "TAKEN_OVER")
        await other
        after = await server.push(heir, inputs[2:])
    assert after.tobytes() == alone(inputs)[2:].tobytes()
    await server.checkpoint()
    assert await server.stored() == (4, 5, state_after(inputs))


async def test_a_close_whose_caller_hangs_up_is_a_close(slow):
    server, may_end = slow
    async with serving(server) as (stub, servicer):
        call, other = await closing(server, stub, may_end, distinct(2, 3))
        call.cancel()
        while servicer._calls:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0)
        may_end.set()
        await other
    assert [one.id for one in server.streams] == ["fan"]
    await server.kept.keeper.flush()
    assert await server.store.read("pump") is None
