"""Whose streams a caller reaches from outside of their calls, and what it is told of others."""

import pytest
from fakes import distinct
from kept_server import kept_server, kept_stream, listed, numbers, reason, state_after

from service.errors import Gone, NotFound


@pytest.mark.parametrize("state", ["live", "ephemeral", "kept"])
async def test_who_reaches_the_streams_of_others_exports_and_closes_them(state, caplog):
    server = kept_server()
    inputs = distinct(3, 25)
    stream = await server.begun(owner="ada", ephemeral=state == "ephemeral")
    told = []
    stream.on_end = told.append
    await server.push(stream, inputs)
    if state == "kept":
        server.kept.leave(stream)
    exported = await server.operations.export("pump", "root", others=True)
    assert (numbers(exported.state), exported.stream.owner) == (state_after(inputs), "ada")
    with caplog.at_level("INFO", "service"):
        steps, last = await server.operations.close("pump", "root", others=True, return_state=True)
    assert (steps, numbers(last)) == (3, state_after(inputs))
    assert "stream 'pump' of caller 'ada' is closed by caller 'root'" in caplog.messages
    assert server.streams.live == server.model.arena.slots.taken == 0
    by = [f"{error.reason}: {error.message}" for error in told]
    assert (
        by == []
        if state == "kept"
        else by == ["STREAM_CLOSED: stream 'pump' was closed by an administrator"]
    )
    assert await listed(server, None) == []
    gone = server.operations.close("pump", "root", others=True)
    assert await reason(gone, NotFound) == "STREAM_NOT_FOUND"


async def test_an_administrator_ends_a_stream_that_is_live_at_another_server():
    here = kept_server()
    there = kept_server(here.store)
    stream = await here.begun(owner="ada")
    await here.push(stream, distinct(2, 26))
    await here.checkpoint()
    assert await there.operations.close("pump", "root", others=True) == (2, b"")
    await here.push(stream, distinct(1, 27))
    await here.checkpoint()
    assert stream.ended.reason == "TAKEN_OVER"
    assert await reason(here.resumed(owner="ada"), Gone) == "STREAM_CLOSED"


async def test_an_ephemeral_stream_is_its_owners_to_see_and_to_close():
    server = kept_server()
    await server.begun(owner="ada", ephemeral=True)
    assert [one.stream_id for one in await listed(server, "ada")] == ["pump"]
    assert await listed(server, "") == []
    assert await reason(server.operations.close("pump", ""), NotFound) == "STREAM_NOT_FOUND"
    assert await server.operations.close("pump", "ada") == (0, b"")


async def test_a_stream_that_was_taken_over_stays_its_owners():
    server = kept_server()
    await server.begun(owner="ada")
    await server.resumed(owner="ada")
    assert [one.owner for one in await listed(server, "ada")] == ["ada"]
    assert await server.operations.close("pump", "ada") == (0, b"")


async def test_what_is_missing_is_told_with_what_became_of_it_and_no_word_of_a_resume():
    server = kept_server()
    operations = server.operations
    await kept_stream(server, distinct(1, 28))
    await operations.close("pump", "")
    for call in (operations.export("pump", ""), operations.fork("pump", "twin", "")):
        with pytest.raises(Gone, match=r"^stream 'pump' was closed; a list names the streams"):
            await call
    for call in (
        operations.export("none", ""),
        operations.fork("none", "twin", ""),
        operations.close("none", ""),
    ):
        with pytest.raises(NotFound) as missing:
            await call
        assert missing.value.message == (
            "stream 'none' is not known here; a list names the streams that there are"
        )
