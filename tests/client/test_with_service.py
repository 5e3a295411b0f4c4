"""Both clients against the service's own gRPC surface, its engine replaced by a small sum."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from fakes import alone, distinct, doorway, fake_kept, fake_model, fake_streams
from statewise_client.errors import StreamFailed, StreamRefused

from protos.statewise.v1.stream_pb2_grpc import add_StreamServiceServicer_to_server
from service.rpc.stream import StreamServicer


@asynccontextmanager
async def serving(streams):
    server, servicer = grpc.aio.server(), StreamServicer(streams, fake_kept(streams), doorway())
    add_StreamServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        await server.stop(None)


async def test_streams_are_answered_with_their_own_bits(connect):
    async def converse(client, seed):
        inputs = distinct(60, seed)
        async with client.open("fake") as stream:
            outputs = [await stream.push(inputs[0]), await stream.push(inputs[1:25])]
            outputs += [one async for one in stream.run(list(inputs[25:]), in_flight=5)]
            assert await stream.close() == 60
        assert np.vstack(outputs).tobytes() == alone(inputs).tobytes()

    streams = fake_streams(fake_model(capacity=20), max_chunk_steps=10)
    async with serving(streams) as (target, _), connect(target) as client:
        await asyncio.gather(*(converse(client, seed) for seed in range(20)))
        assert streams.live == 0


async def test_refusals_arrive_with_their_reasons(connect):
    streams = fake_streams(fake_model(capacity=1))
    async with serving(streams) as (target, _), connect(target) as client, client.open("fake"):
        for model, code, reason, retry in (
            ("other", "NOT_FOUND", "MODEL_NOT_FOUND", False),
            ("fake", "RESOURCE_EXHAUSTED", "STREAMS_EXHAUSTED", True),
        ):
            with pytest.raises(StreamRefused) as refusal:
                async with client.open(model):
                    pass
            assert (refusal.value.code, refusal.value.reason) == (code, reason)
            # Each is told another time.
            seconds = refusal.value.retry_after
            assert seconds is not None and 1 <= seconds <= 2 if retry else seconds is None


async def test_a_server_that_stops_tells_its_open_streams(connect):
    streams = fake_streams(fake_model())
    async with serving(streams) as (target, servicer), connect(target, resume_timeout=0) as client:
        with pytest.raises(StreamFailed) as failure:
            async with client.open("fake") as stream:
                await stream.push([1, 2, 3])
                await servicer.cut(10)
                await stream.push([1, 2, 3])

    assert (failure.value.code, failure.value.reason) == ("UNAVAILABLE", "SERVER_STOPPING")
    assert failure.value.retry_after == 1.0
