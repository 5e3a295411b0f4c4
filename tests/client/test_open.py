"""What both clients can ask for when they open a stream, and where."""

import threading

import numpy as np
import pytest
from fake_model import answers, distinct
from statewise_client.errors import ConnectionFailed, InputError, StreamMisused, StreamRefused

WISHES = {
    "resume needs a stream_id": {"resume": True},
    "leave ephemeral out": {"stream_id": "a", "resume": True, "ephemeral": True},
    "leave replace out": {"stream_id": "a", "resume": True, "replace": True},
    "leave initial_state out": {"stream_id": "a", "resume": True, "initial_state": b"1"},
    "received is 3; give 0 or more, and resume=True": {"received": 3},
}


async def test_a_stream_opens_where_a_server_is(serve, connect):
    server = serve()
    async with connect(["127.0.0.1:1", server.target]) as client, client.open("sum") as stream:
        assert (await stream.push([1, 2, 3])).tolist() == [1, 3]
        # Of a try that broke nobody knows what it left: the next one may find it.
        assert server.openings[0].resume.replay_from == 1


async def test_a_name_of_the_callers_is_never_another_streams(serve, connect):
    server = serve()
    async with connect(["127.0.0.1:1", server.target]) as client, client.open("sum", "", "pump-7"):
        assert not server.openings[0].HasField("resume")


async def test_a_state_begins_another_stream(serve, connect):
    server, steps = serve(), distinct(6, seed=11)
    async with connect(server.target) as client:
        async with client.open("sum") as stream:
            await stream.push(steps[:4])
            assert await stream.close(return_state=True) == 4
        async with client.open("sum", initial_state=stream.state) as heir:
            assert heir.info.steps == 4
            np.testing.assert_array_equal(await heir.push(steps[4:]), answers(steps)[4:])


async def test_a_stream_is_replaced_where_that_is_asked_for(serve, connect):
    async with connect(serve().target) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("sum", "", "pump-7") as stream:
                await stream.push([1, 2, 3])
                raise ZeroDivisionError
        with pytest.raises(StreamRefused) as refusal:
            async with client.open("sum", "", "pump-7"):
                pass
        assert refusal.value.reason == "STREAM_KEPT"
        async with client.open("sum", "", "pump-7", replace=True) as stream:
            assert (await stream.push([1, 2, 3])).tolist() == [1, 3]


@pytest.mark.parametrize(("message", "wishes"), WISHES.items())
async def test_wishes_that_exclude_each_other_are_mistakes(connect, message, wishes):
    async with connect("127.0.0.1:1") as client:
        with pytest.raises(InputError, match=message):
            async with client.open("sum", **wishes):
                pass


async def test_a_closed_client_makes_no_calls(serve, connect):
    server = serve()
    async with connect(server.target) as client:
        pass
    with pytest.raises(StreamMisused, match="the client is closed"):
        async with client.open("sum"):
            pass


async def test_a_server_that_is_silent_is_passed_over(serve, connect):
    released = threading.Event()
    silent = serve(interfere=lambda context, sequence: released.wait(10))
    targets = [silent.target, serve().target]
    async with connect(targets, open_timeout=0.3) as client, client.open("sum") as stream:
        assert (await stream.push([1, 2, 3])).tolist() == [1, 3]
    released.set()


async def test_where_no_server_is_the_last_one_is_named(connect):
    async with connect(["127.0.0.1:1", "127.0.0.1:2"]) as client:
        with pytest.raises(ConnectionFailed, match=r"no server answers at 127.0.0.1:2"):
            async with client.open("sum"):
                pass
