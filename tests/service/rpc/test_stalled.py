"""Callers that send and never read, and what messages leave behind in memory."""

import asyncio
import gc
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import grpc
import pytest
from fakes import distinct, fake_kept, fake_model, fake_streams
from native import ask, chunk, failure, listening, opened, opening
from processes import resident, serving

import service
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

CALLERS, OFFERED = 20, 600
STEPS, WIDTH = 1_000, 5
# What waits in a stream's window, and a few chunks under way: as they came, read, and answered.
MOST_A_CALLER = 1024 * 1024
SERVICE = Path(service.__file__).parent
# A caller whose own window does not grow, so that it stalls after a few answers.
STALLING = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture(scope="module")
def server(model_path):
    with serving(model_path) as server:
        yield server


class Caller:
    """Sends chunks for as long as they are taken from it, and reads no answer."""

    def __init__(self, target, seed):
        self._channel = grpc.aio.insecure_channel(target, STALLING)
        self._data = distinct(STEPS, seed, WIDTH)
        self.sent = 0

    async def run(self):
        async with self._channel:
            call = StreamServiceStub(self._channel).Stream()
            await call.write(wire.ClientMessage(open=wire.Open(model="random")))
            for number in range(OFFERED):
                await call.write(chunk(number + 1, self._data))
                self.sent += 1


async def all_stalled(callers):
    """Returns once nothing was taken from any of them for a while."""
    before = -1
    while (sent := sum(caller.sent for caller in callers)) > before:
        before = sent
        await asyncio.sleep(1.5)


async def test_callers_that_never_read_hold_a_window_each_and_no_more(server):
    callers = [Caller(server.target, seed) for seed in range(CALLERS)]
    before = resident(server.process.pid)
    running = [asyncio.create_task(caller.run()) for caller in callers]
    await all_stalled(callers)
    assert all(0 < caller.sent < OFFERED for caller in callers)
    assert resident(server.process.pid) - before < CALLERS * MOST_A_CALLER
    for task in running:
        task.cancel()
    await asyncio.wait(running)


@contextmanager
def uncollected():
    """What of the service only the garbage collector would find, once the block is left."""
    left = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += filter(is_ours, gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def is_ours(found):
    if isinstance(found, FrameType):
        return Path(found.f_code.co_filename).is_relative_to(SERVICE)
    return type(found).__module__.startswith("service.")


async def test_nothing_of_a_message_or_a_call_waits_for_the_garbage_collector():
    streams = fake_streams(fake_model())
    async with listening(streams, fake_kept(streams)) as (channel, _):
        stub = StreamServiceStub(channel)
        with uncollected() as left:
            call = await opened(stub)
            for number in range(3):
                message = chunk(number + 1, distinct(20, number))
                assert (await ask(call, message)).WhichOneof("message") == "result"
            # A number that is not its turn; then a message that ends the stream.
            assert (await ask(call, chunk(9, distinct(5, 9)))).WhichOneof("message") == "refused"
            await call.write(opening())
            await failure(call)
            unknown = stub.Stream()
            await unknown.write(wire.ClientMessage(open=wire.Open(model="none")))
            await failure(unknown)
        assert left == []
