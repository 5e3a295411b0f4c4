"""The client's streams against real servers that are killed, and that leave in order."""

import asyncio
import signal
import socket
from contextlib import ExitStack

import numpy as np
import pytest
from processes import Server, serving
from statewise_client.aio import Client

STREAMS = 12
STEPS = 150


class Servers:
    """Servers on one port, one after the other, with one store."""

    def __init__(self, model_path, store, stack: ExitStack) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self._model_path, self._store, self._stack = model_path, store, stack
        self.running = self.start()

    def start(self) -> Server:
        words = ("--port", self.port, "--state-store", self._store, "--checkpoint-ms", 20)
        return self._stack.enter_context(serving(self._model_path, *words))

    async def follow(self, signum: int) -> None:
        """Ends the one that runs, and starts the next."""
        self.running.process.send_signal(signum)
        await asyncio.to_thread(self.running.process.wait)
        self.running = await asyncio.to_thread(self.start)


class Steps:
    """Counts outputs; whoever waits for a number of them is told."""

    def __init__(self) -> None:
        self.taken, self._changed = 0, asyncio.Condition()

    async def add(self) -> None:
        async with self._changed:
            self.taken += 1
            self._changed.notify_all()

    async def reach(self, number: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.taken >= number)


async def converse(client: Client, seed: int, taken: Steps) -> np.ndarray:
    outputs = []
    async with client.open("random", stream_id=f"stream-{seed}") as stream:
        random = np.random.default_rng(seed)
        steps = random.standard_normal((STEPS, len(stream.info.features)))
        # Never more than a few steps apart, so that every kill meets every stream.
        async for one in stream.run(list(steps), in_flight=3):
            outputs.append(one)
            await taken.add()
            await taken.reach((len(outputs) - 3) * STREAMS)
        assert await stream.close() == STEPS
    return np.stack(outputs)


async def all_streams(client: Client, taken: Steps) -> list[np.ndarray]:
    return await asyncio.gather(*(converse(client, seed, taken) for seed in range(STREAMS)))


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_servers_that_end_cost_no_output(model_path, tmp_path, signum):
    with ExitStack() as stack:
        servers = Servers(model_path, f"sqlite:{tmp_path}/states.db", stack)
        async with Client(servers.target) as client:
            undisturbed = await all_streams(client, Steps())
            taken = Steps()
            streams = asyncio.create_task(all_streams(client, taken))
            for kill in (1, 2, 3):
                await taken.reach(kill * STREAMS * STEPS // 4)
                await servers.follow(signum)
            disturbed = await streams
            assert [one async for one in client.list_streams()] == []

    for one, other in zip(undisturbed, disturbed, strict=True):
        assert one.tobytes() == other.tobytes()
