"""What both clients make of servers that fail, refuse or talk nonsense."""

import socket
import threading

import grpc
import pytest
from fake_model import OUTPUTS, distinct
from fake_refusals import abort
from statewise_client.errors import (
    ConnectionFailed,
    ProtocolError,
    StreamFailed,
    StreamMisused,
    StreamRefused,
)

from protos.statewise.v1 import stream_pb2 as wire


async def open_and_leave(client) -> None:
    async with client.open("sum"):
        pass


async def test_where_no_server_is(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        async with connect(target) as client:
            with pytest.raises(ConnectionFailed, match=f"no server answers at {target}: .*refused"):
                await open_and_leave(client)


async def test_where_a_server_is_silent(serve, connect):
    released = threading.Event()
    server = serve(interfere=lambda context, sequence: released.wait(10))
    async with connect(server.target, open_timeout=0.2) as client:
        with pytest.raises(ConnectionFailed, match=r"no server answers at .* within 0.2 s"):
            await open_and_leave(client)
    released.set()


async def test_where_another_service_is(connect):
    server = grpc.server(None)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    async with connect(target) as client:
        with pytest.raises(StreamRefused, match=f"server at {target} does not serve") as refusal:
            await open_and_leave(client)
    server.stop(None).wait()
    assert refusal.value.code == "UNIMPLEMENTED"


async def test_a_refusal_to_open_tells_why_and_when_to_come_back(serve, connect):
    def full(context, sequence):
        abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAMS_EXHAUSTED", retry_seconds=2)

    async with connect(serve(interfere=full).target) as client:
        with pytest.raises(StreamRefused) as refusal:
            await open_and_leave(client)

    error = refusal.value
    assert str(error) == "RESOURCE_EXHAUSTED: not today; try the other server"
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "STREAMS_EXHAUSTED")
    assert error.metadata == {"model": "sum"}
    assert error.retry_after == 2.5


async def test_a_server_that_is_stopping_is_a_refusal_and_not_a_lost_connection(serve, connect):
    def stopping(context, sequence):
        abort(context, grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")

    async with connect(serve(interfere=stopping).target) as client:
        with pytest.raises(StreamRefused) as refusal:
            await open_and_leave(client)

    assert (refusal.value.reason, refusal.value.retry_after) == ("SERVER_STOPPING", None)


@pytest.mark.parametrize("trailer", [b"", b"\xff\xff\xff"])
async def test_an_error_without_readable_details_is_still_told(serve, connect, trailer):
    def proxy(context, sequence):
        context.set_trailing_metadata((("grpc-status-details-bin", trailer),))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no\nway")

    async with connect(serve(interfere=proxy).target) as client:
        with pytest.raises(StreamRefused) as refusal:
            await open_and_leave(client)

    assert str(refusal.value) == "PERMISSION_DENIED: no way"
    assert (refusal.value.reason, refusal.value.metadata) == ("", {})


async def test_a_stream_that_is_ended_tells_why_and_stays_over(serve, connect):
    def fault(context, sequence):
        if sequence == 2:
            abort(context, grpc.StatusCode.DATA_LOSS, "MODEL_FAULT")

    steps = distinct(2, seed=1)
    async with connect(serve(interfere=fault).target) as client, client.open("sum") as stream:
        await stream.push(steps[0])
        with pytest.raises(
            StreamFailed, match=r"DATA_LOSS: stream '[0-9a-f]{16}' was ended"
        ) as failure:
            await stream.push(steps[1])
        with pytest.raises(StreamMisused, match="is over; open a new one"):
            await stream.push(steps[1])
        with pytest.raises(StreamMisused, match="is over; open a new one"):
            await stream.close()

    assert (failure.value.code, failure.value.reason) == ("DATA_LOSS", "MODEL_FAULT")


async def test_the_reason_is_not_lost_while_more_is_being_sent(serve, connect):
    def fault(context, sequence):
        if sequence == 1:
            abort(context, grpc.StatusCode.DATA_LOSS, "MODEL_FAULT")

    reasons = []
    chunks = [distinct(500, seed) for seed in range(30)]
    async with connect(serve(interfere=fault).target) as client:
        for _ in range(20):
            with pytest.raises(StreamFailed) as failure:
                async with client.open("sum") as stream:
                    _ = [one async for one in stream.run(chunks, in_flight=30)]
            reasons.append(failure.value.reason)

    assert reasons == ["MODEL_FAULT"] * 20


async def test_a_server_that_dies_ends_the_stream(serve, connect):
    server = serve()
    async with connect(server.target, resume_timeout=0) as client:
        with pytest.raises(StreamFailed) as failure:
            async with client.open("sum") as stream:
                await stream.push([1, 2, 3])
                server.stop()
                await stream.push([4, 5, 6])

    assert failure.value.code in ("UNAVAILABLE", "CANCELLED")


async def test_a_server_that_dies_at_the_end_is_not_taken_for_a_close(serve, connect):
    server = serve()
    async with connect(server.target, resume_timeout=0) as client:
        with pytest.raises(StreamFailed):
            async with client.open("sum") as stream:
                await stream.push([1, 2, 3])
                server.stop()


def twisted(kind: str, **changes):
    """A twist that changes fields of the answers of a kind."""

    def twist(reply: wire.ServerMessage) -> wire.ServerMessage:
        if reply.WhichOneof("message") == kind:
            for name, value in changes.items():
                setattr(getattr(reply, kind), name, value)
        return reply

    return twist


def replaced(kind: str, by: wire.ServerMessage | None):
    return lambda reply: by if reply.WhichOneof("message") == kind else reply


EMPTY = wire.ServerMessage()
CLOSED = wire.ServerMessage(closed=wire.Closed())
REFUSED = wire.ServerMessage(refused=wire.Refused(sequence=1, expected_sequence=2))
NONSENSE = {
    "wrong number": (twisted("result", sequence=2), "result has sequence 2; 1 was sent and 1 was"),
    "wrong length": (twisted("result", data=b"123"), "result 1 has 3 bytes; 1 steps of 2 float32"),
    "wrong steps": (twisted("result", steps=2), "2 steps and 2 outputs; float32, 1 and 2 were due"),
    "wrong width": (twisted("result", outputs=1), "1 steps and 1 outputs; float32, 1 and 2 were"),
    "no dtype": (twisted("result", dtype=0), "result 1 has dtype 0"),
    "empty": (replaced("result", EMPTY), "a reply is empty where the answer to chunk 1 was due"),
    "early close": (replaced("result", CLOSED), "a reply is closed where the answer to chunk 1"),
    "wrong expectation": (replaced("result", REFUSED), "refusal has sequence 1 and expects 2; 1 "),
    "early end": (replaced("result", None), "the server ended the call where an answer was due"),
    "no closed": (replaced("closed", EMPTY), "a reply is empty where closed was due"),
    "not opened": (replaced("opened", CLOSED), "a reply is closed where opened was due"),
    "no chunks": (
        twisted("opened", max_chunk_steps=0),
        "2 outputs and 0 steps a chunk",
    ),
}


@pytest.mark.parametrize(("twist", "message"), NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_ends_the_stream(serve, connect, twist, message):
    server = serve(twist=twist)
    async with connect(server.target) as client:
        with pytest.raises(ProtocolError, match=message):
            async with client.open("sum") as stream:
                outputs = await stream.push([1, 2, 3])
                assert outputs.shape == (len(OUTPUTS),)
        # The server's side of the call is over as well.
        assert server.endings.get(timeout=10)


async def test_a_chunk_computed_behind_a_refused_one_is_nonsense(serve, connect):
    skipped = wire.ServerMessage(refused=wire.Refused(sequence=1, expected_sequence=1))

    def twist(reply):
        return skipped if reply.result.sequence == 1 else reply

    async with connect(serve(twist=twist).target) as client:
        with pytest.raises(ProtocolError, match="result has sequence 2; 2 was sent and 1 was due"):
            async with client.open("sum") as stream:
                _ = [one async for one in stream.run(distinct(3, seed=2))]
