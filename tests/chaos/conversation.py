"""Streams side by side, each with random steps of its own, through the real client.

Owns what each sends, that none runs ahead of the others, and the comparison with what a server says
that nobody disturbs. Knows nothing of what is done to the servers meanwhile.
"""

import asyncio
import heapq
import math
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import numpy as np
from processes import serving
from statewise_client.aio import Client
from statewise_client.errors import ConnectionFailed

FEATURES = 5
MOST_STEPS = 4
# A stream is never more than so many chunks ahead of the mean, so that whatever happens to the
# servers meets every stream.
LEAD = 3
CLIENTS = 4


def chunks_of(seed: int, number: int) -> list[np.ndarray]:
    """So many chunks of one stream, (steps, features) each, of 1 to 4 steps."""
    dice = np.random.default_rng(seed)
    steps = dice.integers(1, MOST_STEPS, number, endpoint=True)
    return [dice.standard_normal((one, FEATURES)).astype(np.float32) for one in steps]


class Progress:
    """Counts chunks of all streams; whoever waits for a number of them is told."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.opened = asyncio.Barrier(streams + 1)
        self._taken = 0
        self._most = math.inf
        self._below = asyncio.Event()
        self._below.set()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    def hold_at(self, most: float) -> None:
        """Lets the streams go on until so many chunks are taken, and no further."""
        self._most = most
        if self._taken < most:
            self._below.set()

    async def add(self) -> None:
        """Counts a chunk; returns once its stream may go on."""
        self._taken += 1
        if self._taken >= self._most:
            self._below.clear()
        while self._waiting and self._waiting[0][0] <= self._taken:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
        await self._below.wait()

    async def reach(self, number: float) -> None:
        if number > self._taken:
            waiter = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (number, id(waiter), waiter))
            await waiter

    def moments(self, chunks: int, number: int, seed: int) -> list[float]:
        """So many random counts between the first chunks and the last."""
        total = self.streams * chunks
        dice = random.Random(seed)
        return sorted(dice.uniform(total / 20, total * 0.9) for _ in range(number))


async def converse(client: Client, seed: int, number: int, progress: Progress) -> bytes:
    """One stream from its opening to its close; all its outputs."""
    outputs: list[np.ndarray] = []
    chunks = chunks_of(seed, number)
    async with client.open("random", stream_id=f"stream-{seed}") as stream:
        await progress.opened.wait()
        async for one in stream.run(chunks, in_flight=LEAD):
            outputs.append(one)
            await progress.add()
            await progress.reach((len(outputs) - LEAD) * progress.streams)
        assert await stream.close() == sum(map(len, chunks))
    return np.concatenate(outputs).tobytes()


async def all_streams(
    targets: Sequence[str], seeds: Sequence[int], number: int, progress: Progress
) -> list[bytes]:
    """All streams side by side, shared among some clients, until the last is closed."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(targets, open_timeout=30, resume_timeout=240))
            for _ in range(CLIENTS)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(converse(clients[seed % CLIENTS], seed, number, progress))
                for seed in seeds
            ]
        return [task.result() for task in tasks]


async def all_gone(target: str) -> None:
    """Returns once a server has no stream; the closed are removed behind their last answer."""
    async with asyncio.timeout(60), Client(target, open_timeout=30) as client:
        left = [""]
        while left:
            # Another worker of the port takes the call where one was just killed.
            with suppress(ConnectionFailed):
                left = [one.stream_id async for one in client.list_streams()]


def undisturbed(model_path: Path, seeds: Sequence[int], number: int) -> list[bytes]:
    """What a server answers that nobody disturbs, one whole chunk a stream."""

    async def ask(target: str) -> list[bytes]:
        async with Client(target) as client:
            answers = []
            for seed in seeds:
                async with client.open("random") as stream:
                    outputs = await stream.push(np.concatenate(chunks_of(seed, number)))
                    answers.append(outputs.tobytes())
            return answers

    with serving(model_path) as server:
        return asyncio.run(ask(server.target))
