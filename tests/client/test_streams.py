"""Streams with both clients, against a server that keeps to the protocol."""

import asyncio

import grpc
import numpy as np
import pytest
from fake_model import FEATURES, FORBIDDEN, OUTPUTS, answers, distinct
from statewise_client.errors import ChunkRefused, ConnectionFailed, InputError, StreamMisused
from statewise_client.protocol import StreamInfo


async def test_a_stream_tells_what_answers(serve, connect):
    server = serve(outputs_are_classes=True, steps_per_second=12.5, max_chunk_steps=7)

    async with connect(server.target) as client, client.open("sum", "2", "pump-7") as stream:
        assert stream.info == StreamInfo(
            stream_id="pump-7",
            model="sum",
            version="2",
            content_digest="sha256:weights",
            numeric_fingerprint="sha256:bits",
            features=FEATURES,
            outputs=OUTPUTS,
            outputs_are_classes=True,
            steps_per_second=12.5,
            max_chunk_steps=7,
            durable=True,
        )


async def test_a_connection_takes_credentials(serve, connect):
    local = grpc.local_channel_credentials()
    target = serve(grpc.local_server_credentials()).target

    async with connect(target, credentials=local) as client, client.open("sum") as stream:
        assert (await stream.push([1, 2, 3])).tolist() == [1, 3]


async def test_credentials_are_never_left_out(serve, connect):
    tls = grpc.ssl_channel_credentials()

    async with connect(serve().target, credentials=tls) as client:
        with pytest.raises(ConnectionFailed):
            async with client.open("sum"):
                pass


async def test_outputs_have_the_shape_of_their_chunk(serve, connect):
    steps = distinct(6, seed=1)

    async with connect(serve().target) as client, client.open("sum") as stream:
        first = await stream.push(steps[0])
        rest = await stream.push(steps[1:])
        assert await stream.close() == 6

    assert (first.shape, rest.shape) == ((2,), (5, 2))
    assert first.dtype == rest.dtype == np.float32
    np.testing.assert_array_equal(np.vstack([first, rest]), answers(steps))


@pytest.mark.parametrize(
    "steps",
    [
        [[1, 2, 3], [4, 5, 6]],
        np.array([[1, 2, 3], [4, 5, 6]], np.int64),
        np.array([[1, 2, 3], [4, 5, 6]], ">f8"),
        np.array([[1, 4], [2, 5], [3, 6]], np.float16).T,
    ],
)
async def test_any_real_numbers_are_steps(serve, connect, steps):
    async with connect(serve().target) as client, client.open("sum") as stream:
        outputs = await stream.push(steps)

    np.testing.assert_array_equal(outputs, np.array([[1, 3], [5, 9]], np.float32))


async def test_outputs_are_the_callers_to_change(serve, connect):
    async with connect(serve().target) as client, client.open("sum") as stream:
        outputs = await stream.push([1, 2, 3])
        outputs += 1

    assert outputs.tolist() == [2, 4]


@pytest.mark.parametrize("in_flight", [1, 3, 100])
async def test_a_run_gives_what_pushes_give(serve, connect, in_flight):
    steps = distinct(20, seed=2)

    async with connect(serve().target) as client, client.open("sum") as stream:
        outputs = [one async for one in stream.run(list(steps), in_flight=in_flight)]
        last = await stream.push(steps[0])

    expected = answers(np.vstack([steps, steps[:1]]))
    np.testing.assert_array_equal(np.vstack([*outputs, last]), expected)


@pytest.mark.parametrize(("in_flight", "lag"), [(1, 0), (4, 3)])
async def test_a_run_is_never_further_ahead_than_told(serve, connect, in_flight, lag):
    asked, lags = 0, []

    def chunks():
        nonlocal asked
        for step in distinct(12, seed=3):
            asked += 1
            yield step

    async with connect(serve().target) as client, client.open("sum") as stream:
        run = stream.run(chunks(), in_flight=in_flight)
        lags = [asked - number async for number in counted(run)]

    assert max(lags) == lag


async def counted(outputs):
    number = 0
    async for _ in outputs:
        number += 1
        yield number


async def test_a_long_chunk_travels_in_parts(serve, connect):
    server, steps = serve(max_chunk_steps=40), distinct(100, seed=4)

    async with connect(server.target) as client, client.open("sum") as stream:
        outputs = await stream.push(steps)
        assert await stream.close() == 100

    assert server.sizes == [40, 40, 20]
    np.testing.assert_array_equal(outputs, answers(steps))


async def test_no_message_comes_near_what_servers_refuse(serve, connect):
    server, steps = serve(max_chunk_steps=10**6), np.ones((100_000, 3), np.float32)

    async with connect(server.target) as client, client.open("sum") as stream:
        stream.send(steps)

    assert sum(server.sizes) == 100_000
    assert max(server.sizes) * 3 * 4 <= 2**20


async def test_a_burst_that_fills_the_network_gets_through(serve, connect):
    chunks = [distinct(1000, seed=seed) for seed in range(40)]

    async with connect(serve().target) as client, client.open("sum") as stream:
        outputs = [one async for one in stream.run(chunks, in_flight=40)]

    np.testing.assert_array_equal(np.vstack(outputs), answers(np.vstack(chunks)))


async def test_many_streams_never_mix(serve, connect):
    async def converse(client, seed):
        steps = distinct(20, seed)
        async with client.open("sum") as stream:
            outputs = [await stream.push(step) for step in steps]
        np.testing.assert_array_equal(np.vstack(outputs), answers(steps))

    async with connect(serve().target) as client:
        await asyncio.gather(*(converse(client, seed) for seed in range(50)))


BAD = {
    "words": (["a", "b", "c"], "DTYPE", "dtype is <U1; send real numbers"),
    "objects": ([None, 1, 2], "DTYPE", "dtype is object"),
    "complex": ([1j, 1, 2], "DTYPE", "dtype is complex128"),
    "dates": (np.zeros(3, "M8[s]"), "DTYPE", "dtype is datetime64"),
    "ragged": ([[1, 2, 3], [4, 5]], "SHAPE", "rows differ in length"),
    "a number": (1.5, "SHAPE", "shape is (); send one step, (3,)"),
    "a cube": (np.zeros((1, 1, 3)), "SHAPE", "shape is (1, 1, 3)"),
    "too few": ([1, 2], "FEATURE_COUNT", "features is 2; this model takes 3"),
    "too many": (np.zeros((5, 4)), "FEATURE_COUNT", "features is 4; this model takes 3"),
    "nothing": (np.zeros((0, 3)), "STEP_COUNT", "steps is 0; send at least one"),
    "nan": (
        [[1, 2, 3], [1, np.nan, 3]],
        "NON_FINITE_INPUT",
        "data has nan at step 1, feature 'ay'",
    ),
    "inf": ([-np.inf, 1, 2], "NON_FINITE_INPUT", "data has -inf at step 0, feature 'ax'"),
    "too large": ([1, 2, 1e300], "NON_FINITE_INPUT", "data has 1e+300 at step 0, feature 'az'"),
}


@pytest.mark.parametrize(("bad", "reason", "message"), BAD.values(), ids=BAD)
async def test_a_chunk_that_makes_no_sense_is_not_sent(serve, connect, bad, reason, message):
    server, steps = serve(), distinct(2, seed=5)

    async with connect(server.target) as client, client.open("sum") as stream:
        first = await stream.push(steps[0])
        with pytest.raises(ChunkRefused) as refusal:
            await stream.push(bad)
        second = await stream.push(steps[1])

    assert (refusal.value.sequence, refusal.value.reason) == (2, reason)
    assert refusal.value.message.startswith(message)
    assert server.sizes == [1, 1]
    np.testing.assert_array_equal(np.vstack([first, second]), answers(steps))


async def test_a_chunk_that_the_server_refuses_leaves_the_stream_as_it_was(serve, connect):
    steps = distinct(2, seed=6)

    async with connect(serve().target) as client, client.open("sum") as stream:
        first = await stream.push(steps[0])
        with pytest.raises(ChunkRefused, match="chunk 2 is refused: sequence is 2") as error:
            await stream.push([1, FORBIDDEN, 3])
        second = await stream.push(steps[1])

    assert (error.value.sequence, error.value.reason) == (2, "FORBIDDEN")
    assert error.value.metadata == {"sequence": "2"}
    assert error.value.outputs is None
    np.testing.assert_array_equal(np.vstack([first, second]), answers(steps))


@pytest.mark.parametrize("bad", [[1, FORBIDDEN, 3], [1, np.nan, 3]], ids=["there", "here"])
async def test_a_run_ends_at_a_refused_chunk_and_takes_nothing_behind_it(serve, connect, bad):
    steps = distinct(9, seed=7)
    chunks = [*steps[:4], bad, *steps[4:]]
    outputs = []

    async with connect(serve().target) as client, client.open("sum") as stream:
        with pytest.raises(ChunkRefused) as refusal:
            async for one in stream.run(chunks, in_flight=4):
                outputs.append(one)  # noqa: PERF401 - they have to outlive the refusal
        assert stream.in_flight == 0
        outputs += [one async for one in stream.run(steps[4:])]

    assert refusal.value.sequence == 5
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))


async def test_a_refused_part_gives_the_outputs_of_those_before_it(serve, connect):
    steps = distinct(100, seed=8)
    bad = steps.copy()
    bad[75, 1] = FORBIDDEN

    async with connect(serve(max_chunk_steps=30).target) as client, client.open("sum") as stream:
        with pytest.raises(ChunkRefused) as refusal:
            await stream.push(bad)
        rest = await stream.push(steps[60:])

    assert refusal.value.sequence == 3
    np.testing.assert_array_equal(np.vstack([refusal.value.outputs, rest]), answers(steps))


async def test_what_a_run_leaves_in_flight_is_still_to_be_had(serve, connect):
    steps = distinct(5, seed=9)
    outputs = []

    async with connect(serve().target) as client, client.open("sum") as stream:
        async for one in stream.run(steps, in_flight=3):
            outputs.append(one)
            break
        with pytest.raises(StreamMisused, match="chunks in flight: 2"):
            await stream.push(steps[0])
        while stream.in_flight:
            outputs.append(await stream.receive())
        with pytest.raises(StreamMisused, match="nothing is in flight"):
            await stream.receive()

    np.testing.assert_array_equal(np.vstack(outputs), answers(steps[:3]))


async def test_a_closed_stream_takes_nothing_more(serve, connect):
    server = serve()

    async with connect(server.target) as client, client.open("sum") as stream:
        stream.send(distinct(4, seed=10))
        stream.send([1, FORBIDDEN, 3])
        stream.send(distinct(3, seed=10))
        assert await stream.close() == 4
        assert await stream.close() == 4
        assert stream.is_over
        with pytest.raises(StreamMisused, match=r"stream '[0-9a-f]{16}' is over"):
            await stream.push([1, 2, 3])
        with pytest.raises(StreamMisused, match=r"stream '[0-9a-f]{16}' is over"):
            stream.send([1, 2, 3])

    assert server.endings.get(timeout=10) == "closed"


async def test_an_error_in_the_block_cuts_the_stream_off(serve, connect):
    server = serve()

    async with connect(server.target) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("sum") as stream:
                await stream.push([1, 2, 3])
                raise ZeroDivisionError
        assert server.endings.get(timeout=10) == "cut"


@pytest.mark.parametrize("target", ["localhost", "localhost:", ":8500", ""])
async def test_a_target_names_its_port(connect, target):
    with pytest.raises(InputError, match=f"target is '{target}'; write HOST:PORT"):
        connect(target)
