"""The native wire, over a real server on a loopback port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from fakes import (
    FEATURES,
    OUTPUTS,
    FakeEngine,
    alone,
    distinct,
    fake_kept,
    fake_model,
    fake_streams,
)
from native import ask, chunk, details, failure, listening, opened, opening

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1 import stream_pb2_grpc as rpc
from service.rpc.stream import StreamServicer
from service.streams.seam import Streams


@asynccontextmanager
async def serving(streams: Streams) -> AsyncIterator[tuple[rpc.StreamServiceStub, StreamServicer]]:
    async with listening(streams, fake_kept(streams)) as (channel, servicer):
        yield rpc.StreamServiceStub(channel), servicer


async def test_opened_tells_what_a_caller_needs():
    async with serving(fake_streams(fake_model(version=3))) as (stub, _):
        answer = await ask(stub.Stream(), opening(stream_id="pump-7"))
        assert answer.opened == wire.Opened(
            stream_id="pump-7",
            model="fake",
            version="3",
            content_digest="sha256:fake",
            numeric_fingerprint="sha256:fingerprint-3",
            features=[f"x{number}" for number in range(FEATURES)],
            outputs=[f"y{number}" for number in range(OUTPUTS)],
            steps_per_second=10,
            max_chunk_steps=8192,
            expected_sequence=1,
        )


@pytest.mark.parametrize("politely", [True, False])
async def test_a_stream_from_open_to_close(politely):
    streams = fake_streams(fake_model())
    inputs = distinct(6, 1)
    async with serving(streams) as (stub, _):
        call = await opened(stub)
        first = (await ask(call, chunk(1, inputs[:1]))).result
        second = (await ask(call, chunk(2, inputs[1:]))).result
        if politely:
            await call.write(wire.ClientMessage(close=wire.Close()))
        else:
            await call.done_writing()
        assert (await call.read()).closed.steps == 6
        assert await call.read() is grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK
    assert (first.sequence, first.steps, first.outputs) == (1, 1, OUTPUTS)
    assert (second.sequence, second.steps, second.dtype) == (2, 5, wire.DATA_TYPE_FLOAT32)
    assert first.data + second.data == alone(inputs).tobytes()
    assert streams.live == 0


async def test_two_hundred_streams_never_mix():
    async def stream(stub, number):
        inputs = distinct(10, number)
        call = await opened(stub)
        answers = [(await ask(call, chunk(i + 1, inputs[i : i + 1]))).result for i in range(10)]
        await call.done_writing()
        assert b"".join(answer.data for answer in answers) == alone(inputs).tobytes()

    async with serving(fake_streams(fake_model(capacity=200))) as (stub, _):
        await asyncio.gather(*(stream(stub, number) for number in range(200)))


async def test_chunks_sent_ahead_are_answered_in_order():
    inputs = distinct(20, 3)
    async with serving(fake_streams(fake_model())) as (stub, _):
        call = await opened(stub)
        for number in range(20):
            await call.write(chunk(number + 1, inputs[number : number + 1]))
        answers = [(await call.read()).result for _ in range(20)]
    assert [answer.sequence for answer in answers] == list(range(1, 21))
    assert b"".join(answer.data for answer in answers) == alone(inputs).tobytes()


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"sequence": 5}, "SEQUENCE_GAP", "sequence is 5; send 2"),
        ({"sequence": 0}, "SEQUENCE_GAP", "sequence is 0; send 2"),
        ({"dtype": wire.DATA_TYPE_UNSPECIFIED}, "DTYPE", "dtype is not set; send float32"),
        ({"dtype": 99}, "DTYPE", "dtype is 99; send float32"),
        ({"features": 2}, "FEATURE_COUNT", "features is 2; this model takes 3"),
        ({"data": b"123"}, "BYTE_LENGTH", "data has 3 bytes"),
        ({"steps": 0}, "STEP_COUNT", "steps is 0"),
        (
            {"data": np.array([1, np.inf, 1], "<f4").tobytes()},
            "NON_FINITE_INPUT",
            "data has inf at step 0, feature 1",
        ),
    ],
)
async def test_a_bad_chunk_is_refused_and_the_stream_lives_on(changes, reason, message):
    inputs = distinct(2, 4)
    async with serving(fake_streams(fake_model())) as (stub, _):
        call = await opened(stub)
        first = (await ask(call, chunk(1, inputs[:1]))).result
        refused = (await ask(call, chunk(2, inputs[1:], **changes))).refused
        second = (await ask(call, chunk(2, inputs[1:]))).result
    assert refused.reason == reason
    assert refused.message.startswith(message)
    assert refused.sequence == changes.get("sequence", 2)
    assert refused.expected_sequence == 2
    assert first.data + second.data == alone(inputs).tobytes()


@pytest.mark.parametrize(
    ("messages", "reason", "text"),
    [
        ([chunk(1, distinct(1, 1))], "OPEN_EXPECTED", "the first message is chunk; send open"),
        ([wire.ClientMessage()], "OPEN_EXPECTED", "the first message is empty; send open"),
        ([opening(), opening()], "CHUNK_EXPECTED", "a message is open in an open stream"),
        ([opening(), wire.ClientMessage()], "CHUNK_EXPECTED", "a message is empty"),
    ],
)
async def test_a_breach_of_the_protocol_ends_the_call(messages, reason, text):
    streams = fake_streams(fake_model())
    async with serving(streams) as (stub, _):
        call = stub.Stream()
        for message in messages:
            await call.write(message)
        error = await failure(call)
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert error.details().startswith(text)
    assert details(error)[0].reason == reason
    assert details(error)[0].domain == "statewise.v1"
    assert streams.live == 0


async def test_statuses_mean_something():
    streams = fake_streams(fake_model(capacity=1))
    async with serving(streams) as (stub, _):
        missing = stub.Stream()
        await missing.write(wire.ClientMessage(open=wire.Open(model="other")))
        error = await failure(missing)
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[0].metadata["model"] == "other"

        await opened(stub, stream_id="pump-7")
        taken = stub.Stream()
        await taken.write(opening(stream_id="pump-7"))
        assert (await failure(taken)).code() == grpc.StatusCode.ALREADY_EXISTS

        full = stub.Stream()
        await full.write(opening())
        error = await failure(full)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        info, delay = details(error)
        assert (info.reason, info.metadata["max_streams"]) == ("STREAMS_EXHAUSTED", "1")
        assert 1 <= delay <= 2


async def test_a_model_fault_is_data_loss_for_its_stream_alone():
    huge = np.full((1, FEATURES), 3e38, np.float32)
    inputs = distinct(1, 1)
    async with serving(fake_streams(fake_model())) as (stub, _):
        healthy, doomed = await opened(stub), await opened(stub)
        await doomed.write(chunk(1, huge))
        error = await failure(doomed)
        assert error.code() == grpc.StatusCode.DATA_LOSS
        assert details(error)[0].reason == "MODEL_NOT_FINITE"
        answer = await ask(healthy, chunk(1, inputs))
        assert answer.result.data == alone(inputs).tobytes()


async def test_an_error_that_nobody_expected_says_nothing_of_the_inside(monkeypatch):
    streams = fake_streams(fake_model())
    monkeypatch.setattr(streams, "admit", lambda *_: {}["secret"])
    async with serving(streams) as (stub, _):
        await (call := stub.Stream()).write(opening())
        error = await failure(call)
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()


async def test_a_caller_that_goes_away_gives_its_slot_back():
    model = fake_model()
    streams = fake_streams(model)
    closed = asyncio.Event()
    close = streams.close
    streams.close = lambda stream: (close(stream), closed.set())
    async with serving(streams) as (stub, _):
        call = await opened(stub)
        assert model.arena.slots.taken == 1
        call.cancel()
        await asyncio.wait_for(closed.wait(), 10)
    assert streams.live == model.arena.slots.taken == 0


async def test_cutting_tells_open_streams_to_go_elsewhere():
    streams = fake_streams(fake_model(FakeEngine()))
    async with serving(streams) as (stub, servicer):
        calls = [await opened(stub) for _ in range(3)]
        await streams.drain(0)
        await servicer.cut(10)
        errors = [await failure(call) for call in calls]
    assert [error.code() for error in errors] == [grpc.StatusCode.UNAVAILABLE] * 3
    assert details(errors[0]) == (details(errors[1])[0], 1.0)
    assert details(errors[0])[0].reason == "SERVER_STOPPING"
    assert streams.live == 0


async def test_an_empty_call_ends_well():
    async with serving(fake_streams(fake_model())) as (stub, _):
        call = stub.Stream()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK


async def test_a_caller_that_never_reads_does_not_hold_up_the_end():
    streams = fake_streams(fake_model())
    inputs = distinct(8192, 1)
    async with serving(streams) as (stub, servicer):
        call = await opened(stub)
        for number in range(8):
            # Results of 128 KiB each, which nobody reads, fill the caller's window.
            await call.write(chunk(number + 1, inputs))
        await streams.drain(0)
        await asyncio.wait_for(servicer.cut(0.1), 30)
        call.cancel()


async def test_a_chunk_may_be_as_long_as_its_message():
    async with serving(fake_streams(fake_model())) as (stub, _):
        refused = (await ask(await opened(stub), chunk(1, distinct(8193, 1)))).refused
    assert (refused.reason, refused.metadata["max_chunk_steps"]) == ("STEP_COUNT", "8192")
