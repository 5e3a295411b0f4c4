"""Servers that leave in order, one after the other."""

import asyncio
import re
import signal
import urllib.request

import numpy as np
import pytest
from conversation import FEATURES
from disturbed import check
from proxy import proxying
from redis_server import RedisServer
from replicas import replicas
from statewise_client.aio import Client
from statewise_client.errors import ConnectionFailed, StreamFailed, StreamRefused

from service.rpc.probe import probe


async def test_a_rolling_restart_behind_one_address_loses_nothing(model_path, tmp_path, expected):
    async def roll(number: int) -> None:
        assert await servers[number % 2].follow(signal.SIGTERM) == 0

    redis = RedisServer(tmp_path)
    try:
        with replicas(model_path, "--state-store", redis.url, number=2) as servers:
            async with proxying(*(one.target for one in servers)) as proxy:
                await check([proxy.address], expected, roll)
    finally:
        redis.kill()


def steps_taken(metrics: str) -> float:
    """Steps of all streams, as the server's metrics tell."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=30) as page:
        (found,) = re.findall(r"^statewise_tick_rows_sum\{.*\} (.*)$", page.read().decode(), re.M)
    return float(found)


async def whole(target: str, chunks: list[np.ndarray]) -> bytes:
    async with Client(target) as client, client.open("random") as stream:
        return np.concatenate([await stream.push(chunk) for chunk in chunks]).tobytes()


async def test_sigterm_lets_a_chunk_end_stores_it_and_sends_the_stream_elsewhere(
    model_path, tmp_path
):
    chunks = [np.random.default_rng(7).standard_normal((n, FEATURES)) for n in (1, 8_000, 5)]
    options = ("--state-store", f"sqlite:{tmp_path}/states.db", "--drain-seconds", 60)
    with replicas(model_path, *options) as (server,):
        expected = await whole(server.target, chunks)
        before = await asyncio.to_thread(steps_taken, server.running.metrics)
        async with Client(server.target, resume_timeout=0) as client:
            async with client.open("random", ephemeral=True) as ephemeral:
                with pytest.raises(StreamFailed) as sent_away:
                    async with client.open("random", stream_id="kept") as stream:
                        outputs = [await stream.push(chunks[0])]
                        stream.send(chunks[1])
                        while (
                            await asyncio.to_thread(steps_taken, server.running.metrics)
                            < before + 2
                        ):
                            pass
                        server.running.process.send_signal(signal.SIGTERM)
                        while await asyncio.to_thread(probe, server.target, 30) == "SERVING":
                            pass
                        with pytest.raises((StreamRefused, ConnectionFailed), match="stopping"):
                            async with client.open("random"):
                                pass
                        outputs.append(await stream.receive())
                        await stream.push(chunks[2])
                assert sent_away.value.reason == "SERVER_STOPPING"
                # One that nobody else could go on with has the time of the drain.
                assert len(await ephemeral.push(chunks[2])) == 5
            assert await asyncio.to_thread(server.running.process.wait, 120) == 0
        await asyncio.to_thread(server.start)
        async with (
            Client(server.target) as client,
            client.open("random", stream_id="kept", resume=True, received=2) as stream,
        ):
            assert (stream.info.expected_sequence, stream.info.steps) == (3, 8_001)
            outputs.append(await stream.push(chunks[2]))
    assert np.concatenate(outputs).tobytes() == expected
