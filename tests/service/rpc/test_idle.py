"""A silent stream over a real server: its call is ended, and the client goes on."""

import asyncio

import grpc
import numpy as np
import pytest
from fakes import distinct, doorway, fake_kept, fake_model, fake_streams
from processes import serving
from statewise_client.aio import Client

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceStub,
    add_StreamServiceServicer_to_server,
)
from service.rpc.stream import StreamServicer
from service.rpc.unreadable import Forgiving

STEPS = np.random.default_rng(3).standard_normal((6, 5))


def ended(server) -> float:
    """Streams that the server has ended since they were silent."""
    return server.counted("statewise_evictions_total", reason="idle")


async def silent(server, number: int) -> None:
    """Returns once so many streams were ended."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(ended, server) < number:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def server(model_path):
    with serving(model_path, "--stream-idle-seconds", 0.3) as server:
        yield server


async def test_a_client_goes_on_after_its_silence(server):
    async with Client(server.target) as client:
        async with client.open("random") as stream:
            expected = await stream.push(STEPS)
        before = ended(server)
        async with client.open("random") as stream:
            found = [await stream.push(STEPS[:2])]
            await silent(server, before + 1)
            found.append(await stream.push(STEPS[2:]))
            assert stream.reconnects >= 1
    assert np.concatenate(found).tobytes() == expected.tobytes()


async def test_a_call_is_told_why_it_ends(server):
    async with grpc.aio.insecure_channel(server.target) as channel:
        call = StreamServiceStub(channel).Stream()
        await call.write(wire.ClientMessage(open=wire.Open(model="random")))
        assert (await call.read()).WhichOneof("message") == "opened"
        with pytest.raises(grpc.aio.AioRpcError, match=r"silent for 0\.3 s and is kept") as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert b"IDLE" in dict(error.value.trailing_metadata())["grpc-status-details-bin"]


async def test_a_client_that_was_silent_from_the_start_goes_on(server):
    async with Client(server.target) as client:
        before = ended(server)
        async with client.open("random") as stream:
            await silent(server, before + 1)
            assert (await stream.push(STEPS)).shape == (6, 3)
            assert stream.reconnects >= 1


async def test_every_chunk_is_heard():
    streams = fake_streams(fake_model())
    server = grpc.aio.server()
    servicer = StreamServicer(streams, fake_kept(streams), doorway())
    add_StreamServiceServicer_to_server(servicer, Forgiving(server, 4 * 1024 * 1024, print))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            Client(f"127.0.0.1:{port}") as client,
            client.open("fake", stream_id="pump") as stream,
        ):
            before = streams.get("pump").heard
            for step in distinct(3, 1):
                await stream.push(step)
            assert streams.get("pump").heard == before + 3
    finally:
        await server.stop(None)
