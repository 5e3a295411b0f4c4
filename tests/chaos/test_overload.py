"""More callers than there is room for."""

import asyncio

import numpy as np
from conversation import chunks_of
from replicas import replicas
from scale import SCALE
from statewise_client.aio import Client
from statewise_client.errors import StreamRefused

ROOM = SCALE.streams // 4
# Of the load that it has room for.
TIMES = 5


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
