"""Streams that outlive their calls, on the wire."""

import pytest
from fakes import alone, distinct
from kept_server import kept_server
from native import ask, chunk, details, failure, opened, opening, said
from resuming import closed, data, left, push, refused, resumed, resuming, serving

from protos.statewise.v1 import stream_pb2 as wire


async def test_results_that_the_caller_has_not_are_sent_again_unasked():
    inputs = distinct(7, 1)
    async with serving(kept_server()) as stub:
        call = await opened(stub, stream_id="pump")
        first = await push(call, inputs[:5], acknowledged=1)
        await left(call)
        call, told = await resumed(stub, received=2)
        assert (told.resumed, told.expected_sequence, told.steps) == (True, 6, 5)
        assert (told.stream_id, told.model, told.version) == ("pump", "fake", "1")
        again = [(await call.read()).result for _ in range(3)]
        # The same messages, but for what is durable by now.
        for one in (*again, *first):
            one.ClearField("durable_sequence")
        assert again == first[2:]
        rest = await push(call, inputs[5:], first=6)
        assert [one.sequence for one in rest] == [6, 7]
        assert data(first + rest) == alone(inputs).tobytes()


async def test_a_chunk_of_many_steps_is_sent_again_whole():
    inputs = distinct(6, 2)
    async with serving(kept_server()) as stub:
        call = await opened(stub, stream_id="pump")
        await ask(call, chunk(1, inputs))
        await left(call)
        call, told = await resumed(stub, received=0)
        again = (await call.read()).result
        assert (told.expected_sequence, again.sequence, again.steps) == (2, 1, 6)
        assert again.data == alone(inputs).tobytes()


@pytest.mark.parametrize(
    ("acknowledged", "kept"),
    # Who says nothing is believed to have all but the last of what was sent before.
    [(0, [1, 2, 3, 4, 5]), (2, [3, 4, 5]), (4, [5]), (None, [4, 5])],
)
async def test_what_was_acknowledged_is_forgotten_and_what_was_not_is_kept(acknowledged, kept):
    async with serving(kept_server()) as stub:
        call = await opened(stub, stream_id="pump")
        await push(call, distinct(4, 3), acknowledged=0)
        await push(call, distinct(1, 4), first=5, acknowledged=acknowledged)
        await left(call)
        if kept[0] > 1:
            request = resuming(received=kept[0] - 2)
            assert await refused(stub, request) == ("FAILED_PRECONDITION", "OUTPUTS_LOST")
        call, _ = await resumed(stub, received=kept[0] - 1)
        assert [(await call.read()).result.sequence for _ in kept] == kept


async def test_a_caller_that_does_not_ask_is_sent_nothing_again():
    inputs = distinct(4, 6)
    async with serving(kept_server()) as stub:
        call = await opened(stub, stream_id="pump")
        await push(call, inputs[:3], acknowledged=0)
        await left(call)
        call, told = await resumed(stub)
        assert told.expected_sequence == 4
        (answer,) = await push(call, inputs[3:], first=4)
        assert answer.data == alone(inputs)[3:].tobytes()


async def test_a_call_that_is_half_closed_or_breaks_off_keeps_its_stream():
    server, inputs = kept_server(), distinct(6, 7)
    async with serving(server) as stub:
        call = await opened(stub, stream_id="pump")
        results = await push(call, inputs[:2])
        assert (await left(call)).steps == 2
        assert server.model.arena.slots.taken == 0
        call, _ = await resumed(stub, received=2)
        results += await push(call, inputs[2:4], first=3)
        call.cancel()
        # Whether the server has seen it by then or not.
        call, _ = await resumed(stub, received=4)
        results += await push(call, inputs[4:], first=5)
    assert data(results) == alone(inputs).tobytes()


async def test_close_removes_a_stream():
    server = kept_server()
    async with serving(server) as stub:
        call = await opened(stub, stream_id="pump")
        await push(call, distinct(3, 8))
        said_last = await closed(call)
        assert (said_last.steps, said_last.state) == (3, b"")
        assert server.model.arena.slots.taken == 0
        for has in ({}, {"received": 3}, {"replay_from": 1}):
            assert await refused(stub, resuming(**has)) == ("FAILED_PRECONDITION", "STREAM_CLOSED")
        # Its id is free.
        await opened(stub, stream_id="pump")


async def test_a_kept_id_is_begun_anew_by_whoever_says_so():
    inputs = distinct(2, 9)
    async with serving(kept_server()) as stub:
        call = await opened(stub, stream_id="pump")
        await push(call, distinct(3, 10))
        await left(call)
        request = wire.Open(model="fake", stream_id="pump")
        assert await refused(stub, request) == ("ALREADY_EXISTS", "STREAM_KEPT")
        call = await opened(stub, stream_id="pump", replace=True)
        assert data(await push(call, inputs)) == alone(inputs).tobytes()


async def test_an_ephemeral_stream_ends_with_its_call():
    server = kept_server()
    async with serving(server) as stub:
        call = stub.Stream()
        told = (await ask(call, opening(stream_id="pump", ephemeral=True))).opened
        assert not told.durable
        results = await push(call, distinct(2, 11))
        await server.checkpoint()
        results += await push(call, distinct(1, 12), first=3)
        assert [one.durable_sequence for one in results] == [0, 0, 0]
        assert (await left(call)).steps == 3
        assert await refused(stub, resuming()) == ("NOT_FOUND", "STREAM_NOT_FOUND")
        request = resuming()
        request.ephemeral = True
        assert await refused(stub, request) == ("INVALID_ARGUMENT", "EPHEMERAL_RESUME")
    assert server.store.sizes == []


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_a_state_that_was_returned_begins_another_stream(ephemeral):
    inputs = distinct(8, 13)
    async with serving(kept_server()) as stub:
        call = await opened(stub, ephemeral=ephemeral)
        results = await push(call, inputs[:5])
        said_last = await closed(call, return_state=True)
        assert said_last.steps == 5
        call = stub.Stream()
        request = opening(initial_state=said_last.state, ephemeral=ephemeral)
        told = (await ask(call, request)).opened
        assert (told.steps, told.expected_sequence, told.resumed) == (5, 1, False)
        results += await push(call, inputs[5:])
    assert data(results) == alone(inputs).tobytes()


async def test_a_state_that_is_none_begins_no_stream():
    server = kept_server()
    async with serving(server) as stub:
        call = await opened(stub)
        state = bytearray((await closed(call, return_state=True)).state)
        state[-1] ^= 1
        for bad, why in ((b"none", "BLOB_NOT_STATE"), (bytes(state), "BLOB_CHECKSUM")):
            request = wire.Open(model="fake", stream_id="pump", initial_state=bad)
            assert await refused(stub, request) == ("INVALID_ARGUMENT", why)
        assert await refused(stub, resuming()) == ("NOT_FOUND", "STREAM_NOT_FOUND")
    assert server.model.arena.slots.taken == 0


async def test_a_call_whose_stream_is_taken_over_is_told():
    server, inputs = kept_server(), distinct(6, 14)
    async with serving(server) as stub:
        old = await opened(stub, stream_id="pump")
        results = await push(old, inputs[:3])
        new, told = await resumed(stub, received=3)
        assert (told.resumed, told.expected_sequence) == (True, 4)
        error = await failure(old)
        assert said(error) == ("FAILED_PRECONDITION", "TAKEN_OVER")
        assert details(error)[0].metadata["stream_id"] == "pump"
        results += await push(new, inputs[3:], first=4)
        assert server.model.arena.slots.taken == 1
    assert data(results) == alone(inputs).tobytes()


async def test_a_resume_of_nothing_begins_anew_only_for_a_caller_that_has_all():
    async with serving(kept_server()) as stub:
        for has in ({}, {"received": 0}, {"replay_from": 2}):
            assert await refused(stub, resuming(**has)) == ("NOT_FOUND", "STREAM_NOT_FOUND")
        request = resuming(replay_from=1)
        request.model = "fake"
        told = (await ask(stub.Stream(), wire.ClientMessage(open=request))).opened
        assert (told.resumed, told.expected_sequence) == (False, 1)


async def test_a_stream_is_resumed_on_its_own_model():
    async with serving(kept_server()) as stub:
        call = await opened(stub, stream_id="pump")
        await push(call, distinct(1, 20))
        await left(call)
        for fields in ({"model": "fan"}, {"version": "2"}):
            request = resuming()
            request.MergeFrom(wire.Open(**fields))
            assert await refused(stub, request) == ("INVALID_ARGUMENT", "STREAM_MODEL")
        await resumed(stub)
