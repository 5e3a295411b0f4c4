"""What a caller without our client may send: bytes that are no message, names without end."""

import grpc
import pytest
from fakes import doorway, fake_kept, fake_model, fake_streams
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import add_StreamServiceServicer_to_server
from service.rpc.stream import StreamServicer
from service.rpc.unreadable import Forgiving

METHOD = "/statewise.v1.StreamService/Stream"


async def send(*messages: bytes) -> grpc.aio.AioRpcError:
    """The error that a conversation in bytes ends with."""
    server = grpc.aio.server()
    streams = fake_streams(fake_model())
    servicer = StreamServicer(streams, fake_kept(streams), doorway())
    add_StreamServiceServicer_to_server(servicer, Forgiving(server, 4 * 1024 * 1024, print))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_stream(METHOD)(timeout=30)
            for message in messages:
                await call.write(message)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                async for _ in call:
                    pass
    finally:
        await server.stop(None)
    return refused.value


def opening(**fields: str) -> bytes:
    return wire.ClientMessage(open=wire.Open(**fields)).SerializeToString()


@pytest.mark.parametrize("before", [[], [opening(model="fake")]], ids=["first", "later"])
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05ab"])
async def test_bytes_that_are_no_message_are_the_callers_mistake(before, data):
    error = await send(*before, data)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    (detail, *_) = rpc_status.from_call(error).details
    info = error_details_pb2.ErrorInfo()
    detail.Unpack(info)
    assert (info.reason, info.domain) == ("MESSAGE", "statewise.v1")


@pytest.mark.parametrize(
    "fields", [{"model": "m" * 10**6}, {"model": "fake", "version": "9" * 10**6}], ids=["m", "v"]
)
async def test_a_name_of_a_megabyte_is_not_said_again(fields):
    error = await send(opening(**fields))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert len(error.details()) < 500
