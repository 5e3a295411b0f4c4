"""Streams that come and go at saturation: what they leave behind."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conversation import chunks_of
from processes import Server, resident
from replicas import descriptors
from scale import SCALE
from statewise_client.aio import Client
from statewise_client.errors import StatewiseError

CALLERS = 48
CHUNKS = 6
OUTPUT_BYTES = 3 * 4
# Beyond what it holds when all has been used once: the allocator's slack, not a stream's share.
MOST_GROWTH = 48 * 1024 * 1024


@pytest.fixture
def server(model_path: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that tells its tasks, whose streams are soon forgotten."""
    script = Path(__file__).parent / "counted_server.py"
    repository = model_path.parent.parent.parent
    options = ["--state-store", f"sqlite:{tmp_path}/states.db", "--state-seconds", "2"]
    command = [sys.executable, script, "serve", "--model-repository", repository]
    command += ["--port", "0", "--metrics-port", "0", "--checkpoint-ms", "50", *options]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def tasks(server: Server) -> int:
    server.process.send_signal(signal.SIGUSR1)
    return int(server.process.stdout.readline().removeprefix("tasks: "))


async def come_and_go(client: Client, seed: int, until: float, expected: list[bytes]) -> int:
    """Stream after stream, each of which ends in another way; how many there were."""
    number, chunks = 0, chunks_of(seed, SCALE.chunks)[:CHUNKS]
    whole = expected[seed][: sum(map(len, chunks)) * OUTPUT_BYTES]
    while time.monotonic() < until:
        ending = (seed + number) % 4
        try:
            async with client.open("random", ephemeral=ending == 3) as stream:
                outputs = [one async for one in stream.run(chunks)]
                assert np.concatenate(outputs).tobytes() == whole
                if ending == 1:
                    # The call breaks off, and nobody ever resumes it.
                    stream.cut()
                elif ending == 2:
                    stream.send(chunks[0])
                    stream.cut()
        except StatewiseError as error:
            raise AssertionError(f"stream {number} of caller {seed}: {error}") from error
        number += 1
    return number


async def load(server: Server, seconds: float, expected: list[bytes]) -> int:
    async with Client(server.target, open_timeout=SCALE.patience) as client:
        until = time.monotonic() + seconds
        callers = (
            come_and_go(client, number % SCALE.streams, until, expected)
            for number in range(CALLERS)
        )
        return sum(await asyncio.gather(*callers))


def test_streams_that_come_and_go_leave_nothing_behind(server, expected) -> None:
    before = tasks(server)
    asyncio.run(load(server, SCALE.seconds / 3, expected))
    pid = server.process.pid
    memory, files = resident(pid), descriptors(pid)
    assert asyncio.run(load(server, SCALE.seconds * 2 / 3, expected)) > CALLERS
    deadline, left = time.monotonic() + 60, (tasks(server), descriptors(pid))
    while (left[0] > before or left[1] > files) and time.monotonic() < deadline:
        # The last calls may still be ending, and the keeper's wait is a task now and then.
        time.sleep(0.05)
        left = tasks(server), descriptors(pid)
    assert left[0] <= before
    assert left[1] <= files
    assert resident(pid) < memory + MOST_GROWTH
