"""The states of streams apart from their calls, with both clients."""

from datetime import UTC, datetime

import numpy as np
import pytest
from fake_model import answers, distinct
from statewise_client.errors import ConnectionFailed, InputError, StreamRefused
from statewise_client.state import StreamSummary

STEPS = distinct(6, seed=1)


async def test_a_state_is_taken_out_and_put_in_elsewhere(serve, connect):
    here, there = serve(), serve()
    async with connect(here.target) as client, client.open("sum", "", "pump-7") as stream:
        await stream.push(STEPS[:4])
        blob = await client.export_state("pump-7")
        # The live one goes on.
        np.testing.assert_array_equal(await stream.push(STEPS[4:]), answers(STEPS)[4:])

    async with connect(there.target) as client:
        summary = await client.import_state(blob, "pump-8")
        assert summary == StreamSummary("pump-8", "sum", "3", 0, 4, False, "me", None)
        with pytest.raises(StreamRefused) as refusal:
            await client.import_state(blob, "pump-8")
        assert (refusal.value.code, refusal.value.reason) == ("ALREADY_EXISTS", "STREAM_KEPT")
        await client.import_state(blob, "pump-8", replace=True)
        async with client.open("sum", "", "pump-8", resume=True) as heir:
            np.testing.assert_array_equal(await heir.push(STEPS[4:]), answers(STEPS)[4:])


async def test_a_fork_goes_its_own_way(serve, connect):
    async with connect(serve().target) as client, client.open("sum", "", "a") as stream:
        await stream.push(STEPS[:3])
        assert (await client.fork("a", "b")).stream_id == "b"
        assert (await client.fork("a")).stream_id == "made-up"
        async with client.open("sum", "", "b", resume=True) as other:
            np.testing.assert_array_equal(await other.push(STEPS[3:]), answers(STEPS)[3:])
        assert await stream.close() == 3


async def test_a_stream_is_closed_from_outside(serve, connect):
    async with connect(serve().target) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("sum", "", "a") as stream:
                await stream.push(STEPS)
                blob = await client.export_state("a")
                raise ZeroDivisionError
        ended = await client.close_stream("a", return_state=True)
        assert (ended.steps, ended.state) == (6, blob)
        with pytest.raises(StreamRefused) as refusal:
            await client.close_stream("a")
        assert (refusal.value.code, refusal.value.reason) == ("NOT_FOUND", "STREAM_NOT_FOUND")


async def test_streams_are_listed_page_by_page(serve, connect):
    server = serve()
    async with connect(server.target) as client:
        assert [one async for one in client.list_streams()] == []
        async with client.open("sum", "", "e") as stream:
            await stream.push(STEPS)
            blob = await client.export_state("e")
            for name in "dbca":
                await client.import_state(blob, name)
            listed = [one async for one in client.list_streams()]
    assert [one.stream_id for one in listed] == list("abcde")
    assert listed[4].stored == datetime.fromtimestamp(1_700_000_000.5, UTC)
    assert (listed[4].sequence, listed[4].steps, listed[3].stored) == (1, 6, None)


async def test_questions_go_to_the_server_that_answers(serve, connect):
    async with connect(["127.0.0.1:1", serve().target]) as client:
        assert [one async for one in client.list_streams()] == []
    async with connect("127.0.0.1:1") as client:
        with pytest.raises(ConnectionFailed, match=r"no server answers at 127.0.0.1:1"):
            await client.export_state("a")


MISTAKES = {
    "target names no server": {"target": []},
    "target is 'b'; write HOST:PORT": {"target": ["a:1", "b"]},
    "token has characters that no header carries": {"token": "a\nb"},
    "open_timeout is 0; give seconds above 0": {"open_timeout": 0},
    "resume_timeout is -1; give seconds, or 0": {"resume_timeout": -1},
    "replay_bytes is -1; give bytes, or 0": {"replay_bytes": -1},
}


@pytest.mark.parametrize(("message", "settings"), MISTAKES.items())
async def test_settings_out_of_their_range_are_mistakes(connect, message, settings):
    with pytest.raises(InputError, match=message):
        connect(**{"target": "a:1"} | settings)
