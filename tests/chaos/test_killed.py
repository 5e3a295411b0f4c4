"""Servers, stores and clients that are killed at random moments: no output is lost or changed."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conversation import all_gone, chunks_of
from disks import fill, small_disk
from disturbed import check
from redis_server import RedisServer
from replicas import kill_worker, replicas
from scale import SCALE
from statewise_client.aio import Client

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")


async def test_a_server_that_is_killed(model_path: Path, tmp_path: Path, expected) -> None:
    store = f"sqlite:{tmp_path}/states.db"
    with replicas(model_path, "--state-store", store) as (server,):
        await check([server.target], expected, lambda number: server.follow())


async def test_one_of_two_workers_that_is_killed(model_path, tmp_path: Path, expected) -> None:
    async def kill_one(number: int) -> None:
        await asyncio.to_thread(kill_worker, server.pid, 2, dice)

    dice = random.Random(1)
    options = ("--workers", 2, "--state-store", f"sqlite:{tmp_path}/states.db")
    with replicas(model_path, *options) as (server,):
        await check([server.target], expected, kill_one)


async def test_questions_while_workers_are_killed(model_path, tmp_path: Path) -> None:
    dice = random.Random(4)
    options = ("--workers", 2, "--state-store", f"sqlite:{tmp_path}/states.db")
    with replicas(model_path, *options) as (server,):
        async with Client(server.target) as client:
            await begin_all(server.target, 2)
            # Until the worker that had them has stored what they took, another knows less.
            stored = [0]
            while not all(stored):
                stored = [one.steps async for one in client.list_streams()]
            state = await client.export_state("stream-1")
            for _ in range(SCALE.kills):
                killing = asyncio.create_task(asyncio.to_thread(kill_worker, server.pid, 2, dice))
                while not killing.done():
                    assert await client.export_state("stream-1") == state
                    names = [one.stream_id async for one in client.list_streams()]
                    assert names == ["stream-0", "stream-1"]


async def test_one_of_two_replicas_that_is_killed(model_path, tmp_path: Path, expected) -> None:
    dice, redis = random.Random(2), RedisServer(tmp_path)
    try:
        with replicas(model_path, "--state-store", redis.url, number=2) as servers:
            await check(
                [one.target for one in servers],
                expected,
                lambda number: dice.choice(servers).follow(),
            )
    finally:
        redis.kill()


async def test_the_store_itself_that_is_killed(model_path, tmp_path: Path, expected) -> None:
    async def kill(number: int) -> None:
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)
        # What Redis said to have kept is needed now.
        await servers[number % 2].follow()

    redis = RedisServer(tmp_path, *ALWAYS)
    try:
        with replicas(model_path, "--state-store", redis.url, number=2) as servers:
            await check([one.target for one in servers], expected, kill, SCALE.kills // 2)
    finally:
        redis.kill()


async def test_a_disk_that_is_full_when_the_server_is_killed(model_path, tmp_path, expected):
    async def fill_and_kill(number: int) -> None:
        filler = disk / "filler"
        if number % 2:
            filler.unlink()
        else:
            await asyncio.to_thread(fill, filler)
        await server.follow()

    with small_disk(tmp_path / "disk") as disk:
        options = ("--state-store", f"sqlite:{disk}/states.db")
        with replicas(model_path, *options) as (server,):
            await check([server.target], expected, fill_and_kill)


async def test_a_server_that_leaves_in_order(model_path, tmp_path, expected):
    async def stop(number: int) -> None:
        assert await server.follow(signal.SIGTERM) == 0

    options = ("--state-store", f"sqlite:{tmp_path}/states.db")
    with replicas(model_path, *options) as (server,):
        await check([server.target], expected, stop)


@contextmanager
def dying_client(target: str, folder: Path, streams: int) -> Iterator[subprocess.Popen[bytes]]:
    """A client as a process of its own."""
    script = Path(__file__).parent / "dying_client.py"
    command = [sys.executable, script, target, folder, streams, SCALE.chunks]
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen([*map(str, command)], env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def begin_all(target: str, streams: int) -> None:
    """Opens every stream and leaves it to others before its first chunk has ended."""
    async with Client(target) as client:
        for seed in range(streams):
            with suppress(ZeroDivisionError):
                async with client.open("random", stream_id=f"stream-{seed}") as stream:
                    await stream.push(chunks_of(seed, SCALE.chunks)[0])
                    raise ZeroDivisionError


def test_a_client_that_is_killed_is_followed_by_another(model_path, tmp_path, expected) -> None:
    folder, dice, whole = tmp_path / "outputs", random.Random(3), sum(map(len, expected))
    folder.mkdir()
    options = ("--state-store", f"sqlite:{tmp_path}/states.db")
    with replicas(model_path, *options) as (server,):
        asyncio.run(begin_all(server.target, len(expected)))
        for number in range(SCALE.kills):
            until = written(folder) + dice.random() * (whole - written(folder)) / 2
            with dying_client(server.target, folder, len(expected)) as client:
                while client.poll() is None and written(folder) < until:
                    time.sleep(0.01)
                assert client.poll() is None
            if number % 2:
                # What it had sent and the server had not stored is lost with both.
                server.end(signal.SIGKILL)
                server.start()
        with dying_client(server.target, folder, len(expected)) as client:
            assert client.wait(SCALE.patience) == 0
        asyncio.run(all_gone(server.target))
    wrong = [
        seed
        for seed, one in enumerate(expected)
        if (folder / f"{seed}.outputs").read_bytes() != one
    ]
    assert wrong == []
