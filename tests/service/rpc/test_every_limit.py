"""Each limit of a server: it can be set; where it bites, the caller is told and it is counted."""

import asyncio
from contextlib import suppress

import grpc
import pytest
from fakes import distinct
from native import ask, chunk, details, failure, said
from processes import serving

from protos.inference import service_pb2 as oip
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

WIDTH = 5
MOST_BYTES = 20_000
OPEN = wire.ClientMessage(open=wire.Open(model="random"))


def channel(server):
    return grpc.aio.insecure_channel(server.target)


async def opened(channel, **fields):
    call = StreamServiceStub(channel).Stream()
    answer = await ask(call, wire.ClientMessage(open=wire.Open(model="random", **fields)))
    assert answer.WhichOneof("message") == "opened"
    return call


def of_size(size):
    """A message of so many bytes, most of them data."""
    message = chunk(1, distinct(1, 1, WIDTH), data=bytes(size))
    message.chunk.data = bytes(2 * size - message.ByteSize())
    assert message.ByteSize() == size
    return message


async def counts(server, metric, reason):
    """Returns once a refusal or an end is counted."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(server.counted, metric, reason=reason) < 1:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 2 * MOST_BYTES])
async def test_the_size_of_a_message(model_path, size):
    with serving(model_path, "--max-message-bytes", MOST_BYTES) as server:
        async with channel(server) as one:
            call, other = await opened(one), await opened(one)
            await call.write(of_size(size))
            error = await failure(call)
            assert said(error) == ("RESOURCE_EXHAUSTED", "MESSAGE_SIZE")
            assert f"take at most {MOST_BYTES}" in error.details()
            assert details(error)[0].metadata["max_message_bytes"] == str(MOST_BYTES)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                request = oip.ModelInferRequest(model_name="random", id="." * (size - 12))
                assert request.ByteSize() == size
                await GRPCInferenceServiceStub(one).ModelInfer(request, timeout=20)
            assert said(refused.value) == ("RESOURCE_EXHAUSTED", "MESSAGE_SIZE")
            assert server.counted("statewise_refused_calls_total", reason="MESSAGE_SIZE") == 2
            # A message of just the size is read, and refused for what is in it.
            answer = await ask(other, of_size(MOST_BYTES))
            assert answer.refused.reason == "BYTE_LENGTH"


async def test_a_message_that_is_far_too_large_is_refused_by_grpc(model_path):
    with serving(model_path, "--max-message-bytes", MOST_BYTES) as server:
        async with channel(server) as one:
            call, other = await opened(one), await opened(one)
            await call.write(chunk(1, distinct(1, 1, WIDTH), data=bytes(3 * MOST_BYTES)))
            error = await failure(call)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            answer = await ask(other, chunk(1, distinct(2, 2, WIDTH)))
            assert answer.WhichOneof("message") == "result"


async def test_the_steps_of_a_chunk(model_path):
    with serving(model_path, "--max-chunk-steps", 7) as server:
        async with channel(server) as one:
            call = await opened(one)
            answer = await ask(call, chunk(1, distinct(8, 1, WIDTH)))
            assert answer.refused.reason == "STEP_COUNT"
            assert "7" in answer.refused.message
            assert server.counted("statewise_refusals_total", reason="STEP_COUNT") == 1
            # The stream lives on.
            answer = await ask(call, chunk(1, distinct(7, 1, WIDTH)))
            assert answer.result.sequence == 1


async def test_the_streams_of_a_model(model_path):
    with serving(model_path, "--max-streams", 2) as server:
        async with channel(server) as one:
            calls = [await opened(one) for _ in range(2)]
            refused = StreamServiceStub(one).Stream()
            await refused.write(OPEN)
            error = await failure(refused)
            assert said(error) == ("RESOURCE_EXHAUSTED", "STREAMS_EXHAUSTED")
            assert 1 <= details(error)[1] <= 2
            assert server.counted("statewise_refused_opens_total", reason="STREAMS_EXHAUSTED") == 1
            assert server.counted("statewise_max_streams") == 2
            await ask(calls[0], wire.ClientMessage(close=wire.Close()))
            assert await calls[0].read() is grpc.aio.EOF
            await opened(one)


async def test_the_silence_of_a_stream(model_path):
    with serving(model_path, "--stream-idle-seconds", 0.2) as server:
        async with channel(server) as one:
            call = await opened(one, stream_id="silent")
            assert said(await failure(call)) == ("UNAVAILABLE", "IDLE")
            await counts(server, "statewise_evictions_total", "idle")
            again = await ask(
                StreamServiceStub(one).Stream(),
                wire.ClientMessage(open=wire.Open(stream_id="silent", resume=wire.Resume())),
            )
            assert again.opened.resumed


async def test_the_silence_of_a_kept_state(model_path):
    with serving(model_path, "--state-seconds", 0.2) as server:
        async with channel(server) as one:
            (await opened(one, stream_id="left")).cancel()
            await counts(server, "statewise_evictions_total", "expired")
            assert await resumed(one, "left") == ("FAILED_PRECONDITION", "EXPIRED")


async def test_the_bytes_of_all_kept_states(model_path):
    with serving(model_path, "--state-bytes", 5_000) as server:
        async with channel(server) as one:
            async with asyncio.timeout(20):
                number = 0
                while not server.counted("statewise_evictions_total", reason="size"):
                    call = await opened(one, stream_id=f"kept-{number}")
                    await ask(call, chunk(1, distinct(1, number, WIDTH)))
                    call.cancel()
                    number += 1
            # The oldest of all may be forgotten by now, and several fit.
            told = [await resumed(one, f"kept-{before}") for before in range(number - 2)]
            assert ("FAILED_PRECONDITION", "EVICTED") in told
            assert server.counted("statewise_max_kept_bytes") == 5_000
            assert server.counted("statewise_kept_bytes") <= 5_000


async def resumed(channel, name):
    """Status and reason of a resume that fails; None of one that does not."""
    call = StreamServiceStub(channel).Stream()
    await call.write(wire.ClientMessage(open=wire.Open(stream_id=name, resume=wire.Resume())))
    with suppress(grpc.aio.AioRpcError):
        await call.read()
    return said(await failure(call)) if call.done() else None
