"""One run of many streams while something is done to their servers again and again."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from conversation import Progress, all_gone, all_streams
from scale import SCALE

Disturb = Callable[[int], Awaitable[object]]


async def check(
    targets: Sequence[str], expected: list[bytes], disturb: Disturb, times: int = SCALE.kills
) -> None:
    """Runs all streams, disturbs so many times, and compares every byte."""
    progress = Progress(len(expected))
    async with asyncio.TaskGroup() as group:
        streams = group.create_task(
            all_streams(targets, range(len(expected)), SCALE.chunks, progress)
        )
        await progress.opened.wait()
        moments = progress.moments(SCALE.chunks, times, seed=len(targets))
        for number, (moment, following) in enumerate(pairwise([*moments, math.inf])):
            # So that each finds streams that have not ended.
            progress.hold_at(following)
            await progress.reach(moment)
            await disturb(number)
    wrong = [seed for seed, one in enumerate(streams.result()) if one != expected[seed]]
    assert wrong == []
    await all_gone(targets[0])
