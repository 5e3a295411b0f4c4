"""Both clients where servers die, stop, lose states, and come back."""

import grpc
import numpy as np
import pytest
from fake_model import FORBIDDEN, answers, distinct
from fake_refusals import abort
from fake_server import FakeServer
from statewise_client.errors import (
    ChunkRefused,
    StreamFailed,
    StreamMisused,
)


def breaking(*sequences: int):
    """Interferes once at each chunk; -1 is Closed, 0 Opened."""
    left = list(sequences)

    def interfere(context, sequence):
        if sequence in left:
            left.remove(sequence)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the network broke")

    return interfere


@pytest.fixture
def restart(serve):
    """Kills a server, and starts it again where it was with what it had stored."""

    def again(server: FakeServer) -> None:
        server.kill()
        server.start()

    return again


@pytest.mark.parametrize("stored", [lambda sequence: True, lambda sequence: sequence % 3 == 0])
async def test_a_killed_server_costs_a_stream_nothing(serve, connect, restart, stored):
    server, steps = serve(stores=stored), distinct(12, seed=1)
    outputs = []
    async with connect(server.target) as client, client.open("sum") as stream:
        for number, step in enumerate(steps):
            if number in (4, 5, 9):
                restart(server)
            outputs.append(await stream.push(step))
        assert stream.reconnects == 3
        assert await stream.close() == 12
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))


async def test_a_run_goes_on_whenever_its_call_breaks(serve, connect):
    server = serve(interfere=breaking(3, 3, 7, 10, 20), stores=lambda sequence: sequence == 6)
    steps = distinct(30, seed=2)
    async with connect(server.target) as client, client.open("sum") as stream:
        outputs = [one async for one in stream.run(list(steps), in_flight=6)]
        assert stream.reconnects == 5
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))
    assert server.openings[0].stream_id
    assert {one.stream_id for one in server.openings} == {server.openings[0].stream_id}


async def test_a_refused_chunk_is_told_over_a_broken_call(serve, connect):
    steps = distinct(6, seed=3)
    chunks = [*steps[:3], [1, FORBIDDEN, 3], *steps[3:]]
    outputs = []
    async with (
        connect(serve(interfere=breaking(2, 4, 6)).target) as client,
        client.open("sum") as stream,
    ):
        with pytest.raises(ChunkRefused) as refusal:
            async for one in stream.run(chunks, in_flight=7):
                outputs.append(one)  # noqa: PERF401 - they have to outlive the refusal
        assert (refusal.value.sequence, stream.in_flight) == (4, 0)
        outputs += [one async for one in stream.run(steps[3:])]
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))


async def test_servers_that_share_their_streams_take_over_from_each_other(serve, connect):
    steps, outputs = distinct(4, seed=4), []
    first, second = serve(), serve(fingerprint="sha256:other")
    second.kept = first.kept
    async with connect([first.target, second.target]) as client, client.open("sum") as stream:
        outputs.append(await stream.push(steps[:2]))
        assert not stream.info.fingerprint_changed
        first.kill()
        outputs.append(await stream.push(steps[2:]))
        assert stream.info.fingerprint_changed
    assert (len(first.openings), len(second.openings)) == (1, 1)
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))


async def test_a_stopping_server_is_left_by_a_new_connection(serve, connect):
    def interfere(context, sequence):
        peers.append(context.peer())
        if sequence == 2 and len(peers) == 3:
            abort(context, grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")

    peers, steps = [], distinct(2, seed=5)
    async with (
        connect(serve(interfere=interfere).target) as client,
        client.open("sum") as stream,
    ):
        outputs = [await stream.push(step) for step in steps]
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))
    assert len(set(peers)) == 2


async def test_whoever_has_taken_a_stream_over_keeps_it(serve, connect):
    server, steps = serve(), distinct(2, seed=6)
    async with connect(server.target) as client, client.open("sum", "", "pump-7") as stream:
        await stream.push(steps[0])
        async with client.open("sum", "", "pump-7", resume=True) as heir:
            with pytest.raises(StreamFailed) as failed:
                await stream.push(steps[1])
            assert failed.value.reason == "TAKEN_OVER"
            np.testing.assert_array_equal(await heir.push(steps[1]), answers(steps)[1])
    assert len(server.openings) == 2


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lambda kept: kept.__setattr__("closed", True), "STREAM_CLOSED"),
        (lambda kept: kept.__setattr__("sequence", 1), "STATE_LOST"),
        (lambda kept: kept.__setattr__("sequence", 8), "OUTPUTS_LOST"),
    ],
)
async def test_what_can_not_go_on_says_why(serve, connect, lose, reason):
    def interfere(context, sequence):
        if sequence == 4:
            (kept,) = server.kept.values()
            lose(kept)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the network broke")

    server = serve(interfere=interfere)
    async with connect(server.target) as client, client.open("sum") as stream:
        for step in distinct(3, seed=7):
            await stream.push(step)
        with pytest.raises(StreamFailed, match=r"stream '[0-9a-f]{16}' can't go on: ") as failed:
            await stream.push([1, 2, 3])
        assert failed.value.reason == reason
        with pytest.raises(StreamMisused, match="is over; open a new one"):
            await stream.push([1, 2, 3])


async def test_a_server_that_breaks_again_and_again_is_given_up(serve, connect):
    def interfere(context, sequence):
        if sequence == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the network broke")

    server = serve(interfere=interfere)
    async with connect(server.target, resume_timeout=0.3) as client, client.open("sum") as stream:
        await stream.push([1, 2, 3])
        with pytest.raises(StreamFailed, match=r"given up after [0-9]+ tries within 0.3 s"):
            await stream.push([1, 2, 3])
    assert len(server.openings) > 2


async def test_a_server_that_does_not_come_back_is_given_up(serve, connect):
    server = serve()
    async with connect(server.target, resume_timeout=0.3) as client, client.open("sum") as stream:
        server.stop()
        with pytest.raises(StreamFailed, match=r"no server answers at .*within 0.3 s") as failed:
            await stream.push([1, 2, 3])
    assert failed.value.code == "UNAVAILABLE"


@pytest.mark.parametrize("settings", [{"resume_timeout": 0}, {}])
async def test_a_stream_that_is_not_to_go_on_ends(serve, connect, settings):
    server = serve(interfere=breaking(1))
    async with (
        connect(server.target, **settings) as client,
        client.open("sum", ephemeral=not settings) as stream,
    ):
        with pytest.raises(StreamFailed, match="the network broke"):
            await stream.push([1, 2, 3])
    assert len(server.openings) == 1


@pytest.mark.parametrize("return_state", [False, True])
async def test_a_close_goes_on_over_a_broken_call(serve, connect, return_state):
    # Once before the server has read Close, and never behind it.
    server, steps = serve(interfere=breaking(3)), distinct(3, seed=8)
    async with connect(server.target) as client, client.open("sum") as stream:
        for step in steps:
            stream.send(step)
        assert await stream.close(return_state=return_state) == 3
        assert bool(stream.state) is return_state
    (kept,) = server.kept.values()
    assert kept.closed


async def test_a_close_whose_answer_was_lost_is_a_close(serve, connect):
    server = serve(interfere=breaking(-1))
    async with connect(server.target) as client, client.open("sum") as stream:
        await stream.push(distinct(5, seed=9))
        assert await stream.close() == 5


async def test_a_client_that_died_is_followed_by_another(serve, connect):
    server, steps = serve(), distinct(9, seed=10)
    async with connect(server.target) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("sum", "", "pump-7") as stream:
                first = [await stream.push(chunk) for chunk in np.split(steps[:6], 3)]
                raise ZeroDivisionError
        assert server.endings.get(timeout=10) == "cut"

    async with (
        connect(server.target) as client,
        client.open("sum", "", "pump-7", resume=True, received=2) as stream,
    ):
        info = stream.info
        assert (info.resumed, info.expected_sequence, info.steps) == (True, 4, 6)
        # The one before knew of two chunks' outputs only.
        again = await stream.receive()
        rest = await stream.push(steps[6:])
        assert await stream.close() == 9
    np.testing.assert_array_equal(np.vstack([*first[:2], again, rest]), answers(steps))


async def test_every_call_says_who_the_caller_is(serve, connect):
    server = serve(interfere=breaking(1))
    async with (
        connect(server.target, token="secret-1") as client,
        client.open("sum", "", "pump-7") as stream,
    ):
        await stream.push([1, 2, 3])
        await client.export_state("pump-7")
    assert [one.get("authorization") for one in server.metadata] == ["Bearer secret-1"] * 3
