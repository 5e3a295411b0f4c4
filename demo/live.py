"""All tails at once as live streams, packet by packet, over gRPC.

Owns the clients' side of the demo. Every stream sends a packet when the last one is answered,
as a sensor does that waits for no one else.
"""

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statewise_client.aio import Client
from statewise_client.errors import StatewiseError
from tqdm import tqdm

from demo.commands import DemoError
from demo.tails import Float32, Tails


@dataclass(frozen=True)
class LiveRun:
    """What the streams got.

    Attributes:
        outputs: entity to (steps, outputs).
        labels: names of the outputs.
        seconds: from the first open to the last close.
        latencies: of each packet, from sent to answered, in seconds.
    """

    outputs: dict[str, Float32]
    labels: tuple[str, ...]
    seconds: float
    latencies: NDArray[np.float64]


def stream_all(target: str, model: str, tails: Tails) -> LiveRun:
    """Streams every tail at the same time, each through a stream of its own.

    Raises:
        DemoError: a stream failed.
    """
    try:
        return asyncio.run(_stream_all(target, model, tails))
    except* StatewiseError as failed:
        raise DemoError(
            f"{len(failed.exceptions)} streams failed: {failed.exceptions[0]}"
        ) from None


async def _stream_all(target: str, model: str, tails: Tails) -> LiveRun:
    latencies: list[float] = []
    outputs: dict[str, Float32] = {}
    labels: tuple[str, ...] = ()
    started = time.perf_counter()
    async with Client(target) as client:
        with tqdm(total=tails.steps, unit="step", desc=f"{len(tails.inputs)} streams") as progress:

            async def stream(entity: str, inputs: Float32) -> None:
                nonlocal labels
                async with client.open(model) as live:
                    labels = live.info.outputs
                    answers = []
                    for packet in inputs:
                        sent = time.perf_counter()
                        answers.append(await live.push(packet))
                        latencies.append(time.perf_counter() - sent)
                        progress.update()
                outputs[entity] = np.stack(answers)

            async with asyncio.TaskGroup() as group:
                for entity, inputs in tails.inputs.items():
                    group.create_task(stream(entity, inputs))
    return LiveRun(outputs, labels, time.perf_counter() - started, np.array(latencies))
