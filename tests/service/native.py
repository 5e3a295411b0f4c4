"""The native wire as a test speaks it, to a server of its own on a loopback port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from fakes import Float32, doorway
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.state_pb2_grpc import add_StateServiceServicer_to_server
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceStub,
    add_StreamServiceServicer_to_server,
)
from service.durability.kept import KeptStreams
from service.durability.operations import Operations
from service.rpc.state import StateServicer
from service.rpc.stream import StreamServicer
from service.streams.seam import Streams

Call = grpc.aio.StreamStreamCall


@asynccontextmanager
async def listening(
    streams: Streams, kept: KeptStreams
) -> AsyncIterator[tuple[grpc.aio.Channel, StreamServicer]]:
    """A server of streams and of their states, and a channel to it."""
    server, servicer = grpc.aio.server(), StreamServicer(streams, kept, doorway())
    add_StreamServiceServicer_to_server(servicer, server)
    operations = Operations(streams._models, streams, kept)
    add_StateServiceServicer_to_server(StateServicer(operations), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, servicer
    finally:
        await server.stop(None)


def opening(**fields: object) -> wire.ClientMessage:
    return wire.ClientMessage(open=wire.Open(model="fake", **fields))


def chunk(number: int, values: Float32, **changes: object) -> wire.ClientMessage:
    fields = {
        "sequence": number,
        "dtype": wire.DATA_TYPE_FLOAT32,
        "steps": values.shape[0],
        "features": values.shape[1],
        "data": values.tobytes(),
    }
    return wire.ClientMessage(chunk=wire.Chunk(**(fields | changes)))


async def opened(stub: StreamServiceStub, **fields: object) -> Call:
    call = stub.Stream()
    await call.write(opening(**fields))
    answer = await call.read()
    assert answer.WhichOneof("message") == "opened"
    return call


async def ask(call: Call, message: wire.ClientMessage) -> wire.ServerMessage:
    await call.write(message)
    return await call.read()


async def failure(call: Call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        while await call.read() is not grpc.aio.EOF:
            pass
    return error.value


def details(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, float | None]:
    """ErrorInfo and retry delay as any client's own helper reads them."""
    info, delay = error_details_pb2.ErrorInfo(), None
    for detail in rpc_status.from_call(error).details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            delay = retry.retry_delay.ToTimedelta().total_seconds()
        detail.Unpack(info)
    return info, delay


def said(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """Status and reason."""
    return error.code().name, details(error)[0].reason
