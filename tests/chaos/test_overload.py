"""More callers than there is room for, and callers that never read."""

import asyncio

import grpc
import numpy as np
from conversation import FEATURES, chunks_of
from replicas import replicas, resident
from scale import SCALE
from statewise_client.aio import Client
from statewise_client.errors import StreamRefused

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

ROOM = SCALE.streams // 4
# Of the load that it has room for.
TIMES = 5
STALLED = 30


class Crowd:
    """Callers that all come at once, and those of them who were let in."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._decided = asyncio.Barrier(ROOM * TIMES)
        self.outputs: dict[int, bytes] = {}
        self.refused: list[StreamRefused] = []

    async def come(self) -> None:
        async with asyncio.TaskGroup() as group:
            for seed in range(ROOM * TIMES):
                group.create_task(self._call(seed))

    async def _call(self, seed: int) -> None:
        try:
            async with self._client.open("random") as stream:
                # Nobody leaves before everybody has come.
                await self._decided.wait()
                chunks = chunks_of(seed, SCALE.chunks)
                outputs = [one async for one in stream.run(chunks)]
                self.outputs[seed] = np.concatenate(outputs).tobytes()
        except StreamRefused as refusal:
            self.refused.append(refusal)
            await self._decided.wait()


async def test_the_surplus_is_refused_at_once_and_the_rest_have_their_outputs(model_path, expected):
    with replicas(model_path, "--max-streams", ROOM) as (server,):
        async with Client(server.target, open_timeout=60) as client:
            # Whoever comes afterwards finds the room that the first have left.
            for _ in range(3):
                crowd = Crowd(client)
                await crowd.come()
                assert len(crowd.outputs) == ROOM
                assert len(crowd.refused) == ROOM * (TIMES - 1)
                assert {one.code for one in crowd.refused} == {"RESOURCE_EXHAUSTED"}
                assert all(one.retry_after for one in crowd.refused)
                seen = {seed: one for seed, one in crowd.outputs.items() if seed < len(expected)}
                assert seen == {seed: expected[seed] for seed in seen}


async def stall(channel: grpc.aio.Channel, data: bytes, steps: int, offered: int) -> int:
    """Sends and never reads, until nothing more is taken; how many chunks were."""
    call = StreamServiceStub(channel).Stream()
    await call.write(wire.ClientMessage(open=wire.Open(model="random")))
    for number in range(1, offered + 1):
        chunk = wire.Chunk(
            sequence=number,
            dtype=wire.DATA_TYPE_FLOAT32,
            steps=steps,
            features=FEATURES,
            data=data,
        )
        try:
            async with asyncio.timeout(3):
                await call.write(wire.ClientMessage(chunk=chunk))
        except TimeoutError:
            return number
    return offered


async def test_callers_that_never_read_fill_no_memory(model_path):
    steps, offered = 4_000, 500
    data = np.random.default_rng(1).standard_normal((steps, FEATURES)).astype(np.float32).tobytes()
    with replicas(model_path) as (server,):
        before = resident(server.pid)
        async with grpc.aio.insecure_channel(server.target) as channel:
            taken = await asyncio.gather(
                *(stall(channel, data, steps, offered) for _ in range(STALLED))
            )
            grown = resident(server.pid) - before
            assert max(taken) < offered
            # Per stream a few messages on the way, and a megabyte of results that it may want.
            assert grown < STALLED * 8 * 1024 * 1024
            # Others are served all the while.
            async with Client(server.target) as client, client.open("random") as stream:
                assert len(await stream.push(chunks_of(1, 1)[0])) > 0
