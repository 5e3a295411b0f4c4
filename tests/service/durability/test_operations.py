"""Export, import, fork, close and list, of streams that are live and of those that are kept."""

import asyncio

import numpy as np
import pytest
from fakes import alone, distinct, fake_model
from kept_server import kept_server, kept_stream, listed, numbers, reason, state_after

from service.durability import blob
from service.durability.keys import StateKeys
from service.durability.snapshots import NamedState
from service.errors import AlreadyExists, Gone, InvalidArgument, NotFound, Unavailable

KEY, FOREIGN_KEY = (StateKeys(bytes([number]) * 32) for number in (1, 2))


async def test_a_live_stream_is_exported_and_goes_on():
    server = kept_server()
    inputs = distinct(6, 1)
    stream = await server.begun(owner="ada")
    await server.push(stream, inputs[:4])
    exported = await server.operations.export("pump", "ada")
    assert numbers(exported.state) == state_after(inputs[:4])
    summary = exported.stream
    assert (summary.stream_id, summary.model, summary.version) == ("pump", "fake", "1")
    assert (summary.sequence, summary.steps, summary.live, summary.owner) == (4, 4, True, "ada")
    after = await server.push(stream, inputs[4:])
    assert after.tobytes() == alone(inputs)[4:].tobytes()


async def test_an_export_waits_for_the_chunk_under_way():
    server = kept_server()
    inputs = distinct(6, 2)
    stream = await server.begun()
    task = await server.under_way(stream, inputs)
    exported = await server.operations.export("pump", "")
    assert numbers(exported.state) == state_after(inputs)
    assert (exported.stream.sequence, exported.stream.steps) == (1, 6)
    await task


async def test_a_kept_stream_is_exported_as_it_was_left():
    server = kept_server()
    inputs = distinct(5, 3)
    await kept_stream(server, inputs)
    exported = await server.operations.export("pump", "")
    assert numbers(exported.state) == state_after(inputs)
    summary = exported.stream
    assert (summary.sequence, summary.steps, summary.live) == (5, 5, False)
    assert summary.stored_ms > 0


async def test_a_stream_that_took_no_chunk_is_exported_in_its_first_state():
    server = kept_server()
    server.kept.leave(await server.begun())
    exported = await server.operations.export("pump", "")
    assert numbers(exported.state) == [0, 0]
    assert (exported.stream.steps, exported.stream.live) == (0, False)


async def test_an_imported_state_goes_on_under_another_id_on_another_server():
    here, there = kept_server(), kept_server()
    inputs = distinct(7, 4)
    await kept_stream(here, inputs[:3])
    state = (await here.operations.export("pump", "")).state
    summary = await there.operations.import_state(state, "copy", "bob")
    assert (summary.stream_id, summary.model, summary.version) == ("copy", "fake", "1")
    assert (summary.sequence, summary.steps, summary.live, summary.owner) == (0, 3, False, "bob")

    stream = await there.resumed("copy", owner="bob")
    assert (stream.steps, stream.expected) == (3, 1)
    after = await there.push(stream, inputs[3:])
    assert after.tobytes() == alone(inputs)[3:].tobytes()


async def test_an_import_without_an_id_gets_one():
    server = kept_server()
    await kept_stream(server, distinct(1, 5))
    state = (await server.operations.export("pump", "")).state
    names = {(await server.operations.import_state(state, "", "")).stream_id for _ in range(2)}
    assert len(names) == 2
    assert names < {one.stream_id for one in await listed(server)}


async def test_an_id_that_is_in_use_is_not_imported_over_by_mistake():
    server = kept_server()
    inputs = distinct(3, 6)
    await kept_stream(server, inputs)
    state = (await server.operations.export("pump", "")).state
    live = await server.begun("live")
    await kept_stream(server, distinct(2, 7), "old")
    import_state = server.operations.import_state
    assert await reason(import_state(state, "live", ""), AlreadyExists) == "STREAM_EXISTS"
    # Not even by whoever means to.
    assert (
        await reason(import_state(state, "live", "", replace=True), AlreadyExists)
        == "STREAM_EXISTS"
    )
    assert live.steps == 0
    assert await reason(import_state(state, "old", ""), AlreadyExists) == "STREAM_KEPT"
    await import_state(state, "old", "", replace=True)
    assert numbers((await server.operations.export("old", "")).state) == state_after(inputs)


async def test_what_is_no_state_of_a_model_here_is_not_imported():
    server = kept_server()
    await kept_stream(server, distinct(2, 8))
    exported = blob.decode((await server.operations.export("pump", "")).state)

    async def refused(kind=InvalidArgument, **changes):
        state = blob.encode(type(exported)(**(vars(exported) | changes)))
        return await reason(server.operations.import_state(state, "bad", ""), kind)

    assert await refused(Unavailable, digest="sha256:others") == "MODEL_NOT_SERVED"
    assert await refused(Unavailable, model="fan") == "MODEL_NOT_SERVED"
    short = (NamedState("state", np.zeros(1, np.float32)),)
    assert await refused(states=short) == "STATE_SHAPE"
    assert await reason(server.operations.import_state(b"none", "bad", ""), InvalidArgument) == (
        "BLOB_NOT_STATE"
    )
    assert await reason(server.operations.export("bad", ""), NotFound) == "STREAM_NOT_FOUND"


async def test_exports_are_signed_and_imports_believed_with_the_key_alone():
    server, other = kept_server(keys=KEY), kept_server(keys=FOREIGN_KEY)
    live = await server.begun("live")
    await server.push(live, distinct(1, 9))
    await kept_stream(server, distinct(1, 10), "kept")
    server.kept.leave(await server.begun("new"))
    for name in ("live", "kept", "new"):
        state = (await server.operations.export(name, "")).state
        await server.operations.import_state(state, f"{name} again", "")
        assert await reason(other.operations.import_state(state, "", ""), InvalidArgument) == (
            "BLOB_SIGNATURE"
        )


async def test_a_server_on_its_way_out_imports_nothing():
    server = kept_server()
    await kept_stream(server, distinct(1, 11))
    state = (await server.operations.export("pump", "")).state
    server.streams.refuse()
    assert await reason(server.operations.import_state(state, "copy", ""), Unavailable) == (
        "SERVER_STOPPING"
    )


@pytest.mark.parametrize("live", [True, False])
async def test_a_fork_and_its_stream_go_on_apart(live):
    server = kept_server()
    before, one, other = distinct(3, 12), distinct(4, 13), distinct(4, 14)
    stream = await server.begun()
    await server.push(stream, before)
    if not live:
        server.kept.leave(stream)
    forked = await server.operations.fork("pump", "twin", "")
    assert (forked.stream_id, forked.steps, forked.live) == ("twin", 3, False)

    stream = stream if live else await server.resumed()
    twin = await server.resumed("twin")
    answers = [await server.push(stream, one), await server.push(twin, other)]
    for inputs, answer in zip((one, other), answers, strict=True):
        undisturbed = alone(np.concatenate([before, inputs]))[3:]
        assert answer.tobytes() == undisturbed.tobytes()


async def test_a_fork_that_makes_no_sense_is_refused():
    server = kept_server()
    await kept_stream(server, distinct(1, 15))
    await kept_stream(server, distinct(2, 16), "fan")
    fork = server.operations.fork
    assert await reason(fork("pump", "pump", ""), InvalidArgument) == "FORK_ITSELF"
    assert await reason(fork("pump", "fan", ""), AlreadyExists) == "STREAM_KEPT"
    assert await reason(fork("none", "twin", ""), NotFound) == "STREAM_NOT_FOUND"
    assert (await server.operations.export("fan", "")).stream.steps == 2


async def test_a_live_stream_is_closed_behind_its_chunk_and_its_call_is_told():
    server = kept_server()
    inputs = distinct(5, 17)
    stream = await server.begun()
    told = []
    stream.on_end = told.append
    task = await server.under_way(stream, inputs)
    steps, state = await server.operations.close("pump", "", return_state=True)
    assert (steps, numbers(state)) == (5, state_after(inputs))
    assert (await task).tobytes() == alone(inputs).tobytes()
    assert [error.reason for error in told] == ["STREAM_CLOSED"]
    assert server.streams.live == server.model.arena.slots.taken == 0
    await server.kept.keeper.flush()
    assert await reason(server.resumed(), Gone) == "STREAM_CLOSED"


async def test_a_kept_stream_is_closed_once():
    server = kept_server()
    inputs = distinct(3, 18)
    await kept_stream(server, inputs)
    await kept_stream(server, distinct(2, 19), "fan")
    steps, state = await server.operations.close("pump", "", return_state=True)
    assert (steps, numbers(state)) == (3, state_after(inputs))
    assert await server.operations.close("fan", "") == (2, b"")
    assert await reason(server.operations.close("pump", ""), NotFound) == "STREAM_NOT_FOUND"
    assert await reason(server.resumed(), Gone) == "STREAM_CLOSED"


async def test_a_close_of_what_another_server_has_fences_it():
    here = kept_server()
    there = kept_server(here.store)
    stream = await here.begun()
    await here.push(stream, distinct(2, 20))
    await here.checkpoint()
    assert await there.operations.close("pump", "") == (2, b"")
    await there.kept.keeper.flush()
    await here.push(stream, distinct(1, 21))
    await here.checkpoint()
    assert here.streams.live == 0
    assert await here.store.read("pump") is None


@pytest.mark.parametrize("live", [True, False])
async def test_the_streams_of_others_are_not_there(live):
    server = kept_server()
    stream = await server.begun(owner="ada")
    await server.push(stream, distinct(2, 22))
    if not live:
        server.kept.leave(stream)
    operations = server.operations
    for owner in ("bob", ""):
        for call in (
            operations.export("pump", owner),
            operations.fork("pump", "twin", owner),
            operations.close("pump", owner),
        ):
            assert await reason(call, NotFound) == "STREAM_NOT_FOUND"
        assert await listed(server, owner) == []
    # Nor can they be replaced.
    state = (await operations.export("pump", "ada")).state
    over = operations.import_state(state, "pump", "bob", replace=True)
    assert await reason(over, AlreadyExists) == ("STREAM_EXISTS" if live else "STREAM_KEPT")
    assert [one.owner for one in await listed(server, "ada")] == ["ada"]
    assert (await operations.export("pump", "ada")).stream.steps == 2


async def test_a_list_has_every_stream_once_by_id_page_by_page():
    server = kept_server(model=fake_model(capacity=4))
    for number, name in enumerate("gbdf"):
        await kept_stream(server, distinct(number + 1, number), name, owner="ada")
    for name in "ace":
        stream = await server.begun(name, owner="ada")
    await server.push(stream, distinct(6, 23))
    await server.begun("h", owner="bob")
    await server.checkpoint()
    await server.operations.close("f", "ada")

    seen, behind, sizes = [], "", []
    while behind or not sizes:
        page, behind = await server.operations.page(behind, 4, "ada")
        sizes.append(len(page))
        seen += page
    assert sizes == [4, 2]
    assert "".join(one.stream_id for one in seen) == "abcdeg"
    assert "".join(one.stream_id for one in seen if one.live) == "ace"
    # The newest that is known of a live one, and when the store had it.
    assert (seen[4].sequence, seen[4].steps) == (6, 6)
    assert seen[4].stored_ms > 0
    everybody = await listed(server, None)
    assert [one.owner for one in everybody] == ["ada"] * 6 + ["bob"]


async def test_a_page_of_no_size_has_a_hundred():
    server = kept_server()
    await kept_stream(server, distinct(1, 24))
    state = (await server.operations.export("pump", "")).state
    await asyncio.gather(
        *(server.operations.import_state(state, f"copy-{number}", "") for number in range(150))
    )
    first, behind = await server.operations.page("", 0, "")
    assert (len(first), behind) == (100, first[-1].stream_id)
    rest, behind = await server.operations.page(behind, 0, "")
    assert (len(rest), behind) == (51, "")
