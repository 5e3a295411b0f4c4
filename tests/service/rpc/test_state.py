"""The states of streams over a real server on a loopback port: messages and status codes."""

from contextlib import asynccontextmanager

import grpc
import pytest
from fakes import alone, distinct
from kept_server import kept_server, state_after
from native import details, failure, listening, opened, said

from protos.statewise.v1 import state_pb2 as wire
from protos.statewise.v1.state_pb2_grpc import StateServiceStub
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub
from service.durability import blob
from service.durability.keys import StateKeys


@asynccontextmanager
async def serving(server):
    async with listening(server.streams, server.kept) as (channel, _):
        yield StateServiceStub(channel)


async def refused(call):
    """The error of a unary call."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


async def kept_stream(server, inputs, name="pump"):
    """A stream that has taken these steps and whose call is over."""
    stream = await server.begun(name)
    await server.push(stream, inputs)
    server.kept.leave(stream)
    await server.kept.keeper.flush()


def numbers(state):
    return blob.decode(state).states[0].values.tolist()


async def test_an_export_brings_the_state_and_what_is_known_of_its_stream():
    server, inputs = kept_server(), distinct(5, 1)
    stream = await server.begun()
    async with serving(server) as stub:
        await server.push(stream, inputs[:2])
        live = await stub.Export(wire.ExportRequest(stream_id="pump"))
        await server.push(stream, inputs[2:])
        server.kept.leave(stream)
        kept = await stub.Export(wire.ExportRequest(stream_id="pump"))
    assert numbers(live.state) == state_after(inputs[:2])
    assert numbers(kept.state) == state_after(inputs)
    known = {"stream_id": "pump", "model": "fake", "version": "1"}
    assert live.stream == wire.StreamSummary(**known, sequence=2, steps=2, live=True)
    assert kept.stream.stored_unix_ms > 0
    kept.stream.ClearField("stored_unix_ms")
    assert kept.stream == wire.StreamSummary(**known, sequence=5, steps=5)


async def test_an_import_is_resumed_to_the_same_bits():
    here, there, inputs = kept_server(), kept_server(), distinct(6, 2)
    await kept_stream(here, inputs[:4])
    async with serving(here) as stub, serving(there) as other:
        state = (await stub.Export(wire.ExportRequest(stream_id="pump"))).state
        imported = await other.Import(wire.ImportRequest(stream_id="copy", state=state))
        unnamed = await other.Import(wire.ImportRequest(state=state))
    assert imported.stream == wire.StreamSummary(
        stream_id="copy", model="fake", version="1", steps=4
    )
    for name in ("copy", unnamed.stream.stream_id):
        after = await there.push(await there.resumed(name), inputs[4:])
        assert after.tobytes() == alone(inputs)[4:].tobytes()


async def test_an_import_takes_the_place_of_another_where_it_says_so():
    server, inputs = kept_server(), distinct(3, 3)
    await kept_stream(server, inputs)
    await kept_stream(server, distinct(2, 4), "old")
    async with serving(server) as stub:
        state = (await stub.Export(wire.ExportRequest(stream_id="pump"))).state
        request = wire.ImportRequest(stream_id="old", state=state)
        error = await refused(stub.Import(request))
        assert said(error) == ("ALREADY_EXISTS", "STREAM_KEPT")
        assert details(error)[0].metadata["stream_id"] == "old"
        request.replace = True
        await stub.Import(request)
        assert numbers((await stub.Export(wire.ExportRequest(stream_id="old"))).state) == (
            state_after(inputs)
        )
        await server.begun("live")
        request.stream_id = "live"
        assert said(await refused(stub.Import(request))) == ("ALREADY_EXISTS", "STREAM_EXISTS")


async def test_a_state_that_is_refused_is_an_invalid_argument_by_name():
    server = kept_server(keys=StateKeys(bytes([1]) * 32))
    foreign = kept_server(keys=StateKeys(bytes([2]) * 32))
    async with serving(server) as stub:
        states = {"BLOB_NOT_STATE": b"none"}
        for name, one in (("own", server), ("BLOB_SIGNATURE", foreign)):
            await kept_stream(one, distinct(2, 5))
            states[name] = (await one.operations.export("pump", "")).state
        own = states.pop("own")
        states["BLOB_VERSION"] = own[:8] + b"\2" + own[9:]
        states["BLOB_UNSIGNED"] = own[:44] + bytes(32) + own[76:]
        for reason, state in states.items():
            error = await refused(stub.Import(wire.ImportRequest(stream_id="bad", state=state)))
            assert said(error) == ("INVALID_ARGUMENT", reason)
        await stub.Import(wire.ImportRequest(stream_id="good", state=own))
        listed = await stub.List(wire.ListRequest())
    assert [one.stream_id for one in listed.streams] == ["good", "pump"]


async def test_a_state_of_a_model_that_is_not_served_may_find_one_elsewhere():
    server = kept_server()
    await kept_stream(server, distinct(1, 6))
    snapshot = blob.decode((await server.operations.export("pump", "")).state)
    state = blob.encode(type(snapshot)(**(vars(snapshot) | {"digest": "sha256:others"})))
    async with serving(server) as stub:
        error = await refused(stub.Import(wire.ImportRequest(state=state)))
    assert said(error) == ("UNAVAILABLE", "MODEL_NOT_SERVED")
    info, delay = details(error)
    assert (info.metadata["content_digest"], delay) == ("sha256:others", 1.0)


async def test_a_fork_is_a_stream_of_its_own():
    server, inputs = kept_server(), distinct(4, 7)
    stream = await server.begun()
    await server.push(stream, inputs)
    async with serving(server) as stub:
        forked = await stub.Fork(wire.ForkRequest(stream_id="pump", new_stream_id="twin"))
        assert forked.stream == wire.StreamSummary(
            stream_id="twin", model="fake", version="1", steps=4
        )
        named = await stub.Fork(wire.ForkRequest(stream_id="pump"))
        assert named.stream.stream_id not in ("", "pump", "twin")
        await stub.Close(wire.CloseStreamRequest(stream_id="pump"))
        exported = await stub.Export(wire.ExportRequest(stream_id="twin"))
        assert numbers(exported.state) == state_after(inputs)
        itself = wire.ForkRequest(stream_id="twin", new_stream_id="twin")
        assert said(await refused(stub.Fork(itself))) == ("INVALID_ARGUMENT", "FORK_ITSELF")


@pytest.mark.parametrize("return_state", [False, True])
async def test_a_close_brings_the_steps_and_the_state_where_it_is_asked_for(return_state):
    server, inputs, others = kept_server(), distinct(4, 8), distinct(3, 9)
    await server.push(await server.begun(), inputs)
    await kept_stream(server, others, "kept")
    async with serving(server) as stub:
        for name, taken in (("pump", inputs), ("kept", others)):
            request = wire.CloseStreamRequest(stream_id=name, return_state=return_state)
            answer = await stub.Close(request)
            assert answer.steps == len(taken)
            assert bool(answer.state) == return_state
            if return_state:
                assert numbers(answer.state) == state_after(taken)
            assert said(await refused(stub.Close(request))) == ("NOT_FOUND", "STREAM_NOT_FOUND")
        assert not (await stub.List(wire.ListRequest())).streams
    assert server.model.arena.slots.taken == 0


async def test_the_call_of_a_stream_that_is_closed_from_outside_is_told():
    server = kept_server()
    async with listening(server.streams, server.kept) as (channel, _):
        call = await opened(StreamServiceStub(channel), stream_id="pump")
        await StateServiceStub(channel).Close(wire.CloseStreamRequest(stream_id="pump"))
        assert said(await failure(call)) == ("FAILED_PRECONDITION", "STREAM_CLOSED")


async def test_what_is_not_there_is_not_found():
    async with serving(kept_server()) as stub:
        for call in (
            stub.Export(wire.ExportRequest(stream_id="none")),
            stub.Fork(wire.ForkRequest(stream_id="none", new_stream_id="twin")),
            stub.Close(wire.CloseStreamRequest(stream_id="none")),
        ):
            error = await refused(call)
            assert said(error) == ("NOT_FOUND", "STREAM_NOT_FOUND")
            assert details(error)[0].metadata["stream_id"] == "none"
            assert details(error)[1] is None


async def test_a_list_goes_on_where_its_page_ended():
    server = kept_server()
    for number, name in enumerate("cae"):
        await kept_stream(server, distinct(number + 1, number), name)
    for name in "bd":
        await server.begun(name)
    pages, token = [], ""
    async with serving(server) as stub:
        while token or not pages:
            answer = await stub.List(wire.ListRequest(page_size=2, page_token=token))
            pages.append([(one.stream_id, one.live, one.steps) for one in answer.streams])
            token = answer.next_page_token
        whole = await stub.List(wire.ListRequest())
    assert pages == [
        [("a", False, 2), ("b", True, 0)],
        [("c", False, 1), ("d", True, 0)],
        [("e", False, 3)],
    ]
    assert (len(whole.streams), whole.next_page_token) == (5, "")


async def test_a_store_that_is_away_is_unavailable_with_a_delay():
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(2, 10))
    server.store.broken = True
    server.kept.leave(stream)
    async with serving(server) as stub:
        error = await refused(stub.Export(wire.ExportRequest(stream_id="pump")))
        assert said(error) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert details(error)[1] == 1.0
        server.store.broken = False
        assert (await stub.Export(wire.ExportRequest(stream_id="pump"))).stream.steps == 2


async def test_an_error_that_nobody_expected_says_nothing_of_the_inside():
    server = kept_server()
    server.store.read = lambda stream_id: {}["secret"]
    async with serving(server) as stub:
        error = await refused(stub.Export(wire.ExportRequest(stream_id="pump")))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
