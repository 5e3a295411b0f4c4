"""What only a client with an event loop can do: cancel, and take chunks as they come."""

import asyncio
import threading

import numpy as np
import pytest
from fake_model import answers, distinct
from statewise_client.aio import Client
from statewise_client.errors import StreamMisused


async def test_a_cancelled_push_ends_the_stream_and_nothing_else(serve):
    released = threading.Event()

    def hang(context, sequence):
        if sequence == 2:
            released.wait(10)

    server, steps = serve(interfere=hang), distinct(2, seed=1)
    async with Client(server.target) as client:
        async with client.open("sum") as stream:
            await stream.push(steps[0])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.push(steps[1]), 0.1)
            with pytest.raises(StreamMisused, match="is over; open a new one"):
                await stream.push(steps[1])
        released.set()
        assert server.endings.get(timeout=10) == "cut"
        async with client.open("sum") as stream:
            np.testing.assert_array_equal(await stream.push(steps[0]), answers(steps)[0])


async def test_chunks_may_come_from_an_asynchronous_source(serve):
    steps = distinct(10, seed=2)

    async def source():
        for step in steps:
            await asyncio.sleep(0)
            yield step

    async with Client(serve().target) as client, client.open("sum") as stream:
        outputs = [one async for one in stream.run(source(), in_flight=3)]

    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))


def test_a_client_may_be_made_before_the_event_loop(serve):
    client, steps = Client(serve().target), distinct(1, seed=4)

    async def push():
        async with client, client.open("sum") as stream:
            return await stream.push(steps)

    np.testing.assert_array_equal(asyncio.run(push()), answers(steps))


async def test_two_tasks_on_one_stream_are_told_apart(serve):
    steps = distinct(2, seed=3)

    async with Client(serve().target) as client, client.open("sum") as stream:
        first = asyncio.create_task(stream.push(steps[0]))
        await asyncio.sleep(0)
        with pytest.raises(StreamMisused, match="chunks in flight: 1"):
            await stream.push(steps[1])
        np.testing.assert_array_equal(await first, answers(steps)[0])
