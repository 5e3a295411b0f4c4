"""What callers are told of where their streams are stored, and what another server goes on with."""

from dataclasses import replace

import pytest
from fakes import alone, distinct, fake_model
from kept_server import kept_server
from native import ask, details, failure, opened, opening, said
from resuming import data, left, push, refused, resumed, resuming, serving

from protos.statewise.v1 import stream_pb2 as wire
from service.stores.memory import MemoryStore


async def test_results_say_up_to_where_a_state_is_durable():
    server, inputs = kept_server(), distinct(6, 15)
    async with serving(server) as stub:
        call = stub.Stream()
        assert (await ask(call, opening(stream_id="pump"))).opened.durable
        seen = [one.durable_sequence for one in await push(call, inputs[:2])]
        await server.checkpoint()
        seen += [one.durable_sequence for one in await push(call, inputs[2:4], first=3)]
        server.store.broken = True
        await server.checkpoint()
        seen += [one.durable_sequence for one in await push(call, inputs[4:5], first=5)]
        server.store.broken = False
        await server.checkpoint()
        seen += [one.durable_sequence for one in await push(call, inputs[5:], first=6)]
    assert seen == [0, 0, 2, 2, 2, 5]


async def test_a_store_in_memory_is_no_durable_one():
    server = kept_server(MemoryStore(10**6))
    async with serving(server) as stub:
        call = stub.Stream()
        assert not (await ask(call, opening(stream_id="pump"))).opened.durable
        await push(call, distinct(2, 16))
        await left(call)
        call, told = await resumed(stub, received=1)
        assert not told.durable
        assert (await call.read()).result.durable_sequence == 0
        (answer,) = await push(call, distinct(1, 17), first=3)
        assert answer.durable_sequence == 0


@pytest.mark.parametrize("changed", [False, True])
async def test_a_stream_that_goes_on_on_another_kind_of_processor_is_told(changed):
    model = fake_model()
    if changed:
        model = replace(model, self_test=replace(model.self_test, fingerprint="sha256:others"))
    here, inputs = kept_server(), distinct(4, 18)
    there = kept_server(here.store, model)
    async with serving(here) as stub, serving(there) as other:
        call = await opened(stub, stream_id="pump")
        await push(call, inputs[:2])
        await left(call)
        await here.kept.keeper.flush()
        call, told = await resumed(other, received=2)
        assert (told.resumed, told.fingerprint_changed) == (True, changed)
        results = await push(call, inputs[2:], first=3)
        assert data(results) == alone(inputs)[2:].tobytes()


async def test_another_server_asks_for_the_chunks_behind_the_checkpoint():
    here, inputs = kept_server(), distinct(6, 19)
    there = kept_server(here.store)
    async with serving(here) as stub, serving(there) as other:
        call = await opened(stub, stream_id="pump")
        await push(call, inputs[:2])
        await here.checkpoint()
        await push(call, inputs[2:4], first=3)
        request = resuming(received=4, replay_from=4)
        assert await refused(other, request) == ("FAILED_PRECONDITION", "STATE_LOST")
        again, told = await resumed(other, received=4, replay_from=3)
        assert (told.expected_sequence, told.steps) == (3, 2)
        results = await push(again, inputs[2:], first=3)
        assert data(results) == alone(inputs)[2:].tobytes()
        # What was claimed there ends here with the next round.
        await here.checkpoint()
        assert said(await failure(call)) == ("FAILED_PRECONDITION", "TAKEN_OVER")


async def test_a_store_that_is_away_is_a_reason_to_try_again():
    server, inputs = kept_server(), distinct(3, 21)
    async with serving(server) as stub:
        call = await opened(stub, stream_id="pump")
        await push(call, inputs[:2])
        server.store.broken = True
        await left(call)
        again = stub.Stream()
        await again.write(wire.ClientMessage(open=resuming(received=2)))
        error = await failure(again)
        assert said(error) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert details(error)[1] == 1.0
        # Neither its place nor the cause.
        assert error.details() == "the state store can't be used"
        assert b"told to" not in dict(error.trailing_metadata())["grpc-status-details-bin"]
        server.store.broken = False
        call, _ = await resumed(stub, received=2)
        (answer,) = await push(call, inputs[2:], first=3)
    assert answer.data == alone(inputs)[2:].tobytes()
