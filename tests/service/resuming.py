"""Calls of streams that outlive them, as a well-behaved client makes them."""

from contextlib import asynccontextmanager

import grpc
from native import ask, chunk, failure, listening, said

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub


@asynccontextmanager
async def serving(server):
    async with listening(server.streams, server.kept) as (channel, _):
        yield StreamServiceStub(channel)


async def push(call, inputs, first=1, **fields):
    """The results of steps sent one by one, in their chunks' order."""
    answers = []
    for number, step in enumerate(inputs, start=first):
        answer = await ask(call, chunk(number, step[None], **fields))
        assert answer.WhichOneof("message") == "result", answer
        answers.append(answer.result)
    return answers


async def resumed(stub, name="pump", **has):
    """A call that goes on with a stream, and what it was told."""
    call = stub.Stream()
    answer = await ask(call, wire.ClientMessage(open=resuming(name, **has)))
    assert answer.WhichOneof("message") == "opened"
    return call, answer.opened


def resuming(name="pump", **has):
    return wire.Open(stream_id=name, resume=wire.Resume(**has))


async def refused(stub, request):
    """Status and reason of an open that fails."""
    call = stub.Stream()
    await call.write(wire.ClientMessage(open=request))
    return said(await failure(call))


async def left(call):
    """Half-closes; what the server says then."""
    await call.done_writing()
    answer = await call.read()
    assert await call.read() is grpc.aio.EOF
    return answer.closed


async def closed(call, **fields):
    answer = await ask(call, wire.ClientMessage(close=wire.Close(**fields)))
    assert await call.read() is grpc.aio.EOF
    return answer.closed


def data(results):
    return b"".join(one.data for one in results)
