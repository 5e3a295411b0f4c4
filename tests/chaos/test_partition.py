"""A server that is cut off from the store, while another goes on with its streams."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count

import numpy as np
import pytest
from conversation import chunks_of
from proxy import Proxy, proxying
from redis_server import RedisServer
from replicas import Replica, replicas
from scale import SCALE
from statewise_client.aio import Client, Stream
from statewise_client.errors import StreamFailed

STREAMS = SCALE.streams // 4
# Chunks that the first server takes before it is cut off, and those that it takes astray.
BEFORE, ASTRAY = 6, 9


@pytest.fixture
async def places(model_path, tmp_path) -> AsyncIterator[tuple[Proxy, Replica, Replica]]:
    """A server that reaches Redis through a proxy, and one that needs none."""
    redis = RedisServer(tmp_path)
    async with AsyncExitStack() as stack:
        stack.callback(redis.kill)
        proxy = await stack.enter_async_context(proxying(str(redis.socket)))
        found = []
        for url in (f"redis://{proxy.address}/0", redis.url):
            # In a thread, since the proxy has to serve its start.
            one = replicas(model_path, "--state-store", url)
            found += await asyncio.to_thread(stack.enter_context, one)
        yield proxy, *found


class Caller:
    """A call of one stream.

    Attributes:
        outputs: of the chunks that it pushed, each of which is the stream's own.
    """

    def __init__(self, client: Client, seed: int) -> None:
        self._chunks = chunks_of(seed, SCALE.chunks)
        self._client, self._id = client, f"stream-{seed}"
        self._stack = AsyncExitStack()
        self._next = 0
        self.outputs: list[np.ndarray] = []

    async def open(self, *, resume: bool = False) -> None:
        opening = self._client.open("random", stream_id=self._id, resume=resume)
        self._stream: Stream = await self._stack.enter_async_context(opening)
        self._next = self._stream.info.expected_sequence - 1
        # Of what the first server took while it was cut off, nothing was stored.
        assert self._next <= BEFORE

    async def push(self, until: int) -> None:
        for chunk in self._chunks[self._next : until]:
            self.outputs.append(await self._stream.push(chunk))
            self._next += 1

    async def go_astray(self) -> str:
        """Goes on with what is not the stream's until it is ended; the reason."""
        with pytest.raises(StreamFailed) as failed:
            for number in count():
                await self._stream.push(self._chunks[number % SCALE.chunks] + 1)
        await self._stack.aclose()
        return failed.value.reason

    async def close(self) -> None:
        await self.push(SCALE.chunks)
        assert await self._stream.close() == sum(map(len, self._chunks))
        assert self._stream.reconnects == 1
        await self._stack.aclose()


async def test_a_server_that_was_cut_off_overwrites_nothing(places, expected):
    proxy, first, second = places
    async with (
        Client(first.target, open_timeout=30) as astray,
        Client([second.target, first.target], open_timeout=30, resume_timeout=240) as client,
    ):
        zombies = [Caller(astray, seed) for seed in range(STREAMS)]
        heirs = [Caller(client, seed) for seed in range(STREAMS)]
        await asyncio.gather(*(one.open() for one in zombies))
        await asyncio.gather(*(one.push(BEFORE) for one in zombies))
        proxy.cut()
        await asyncio.gather(*(one.push(ASTRAY) for one in zombies))
        await asyncio.gather(*(one.open(resume=True) for one in heirs))
        await asyncio.gather(*(one.push(SCALE.chunks // 2) for one in heirs))
        proxy.heal()
        # Their states are newer by number, and older by epoch.
        assert {await one.go_astray() for one in zombies} == {"TAKEN_OVER"}
        await asyncio.to_thread(second.end, signal.SIGKILL)
        await asyncio.gather(*(one.close() for one in heirs))

    for zombie, heir, whole in zip(zombies, heirs, expected, strict=False):
        early = np.concatenate(zombie.outputs).tobytes()
        late = np.concatenate(heir.outputs).tobytes()
        assert (whole[: len(early)], whole[-len(late) :]) == (early, late)
