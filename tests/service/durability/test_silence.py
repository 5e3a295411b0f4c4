"""Streams that are silent in an open call."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from fakes import alone, chunk, distinct, fake_kept, fake_model, fake_streams

from service.durability.openings import Opening, Resume
from service.durability.silence import Silence
from service.errors import ServiceError
from service.streams.live import Stream

SECONDS = 10.0


@dataclass
class Call:
    """What stands for a native call that holds a stream."""

    stream: Stream
    told: list[ServiceError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream.on_end = self.told.append


class Server:
    def __init__(self) -> None:
        self.model = fake_model()
        self.streams = fake_streams(self.model)
        self.kept = fake_kept(self.streams)
        self.silence = Silence(self.streams, self.kept, SECONDS)

    async def open(self, stream_id, **fields):
        opening = Opening("fake", stream_id=stream_id, **fields)
        return Call((await self.kept.open(opening)).stream)

    async def push(self, call, inputs):
        outputs = []
        for step in inputs:
            call.stream.heard += 1
            sent = chunk(call.stream.expected, step[np.newaxis])
            outputs.append(await self.streams.push(call.stream, sent))
        return np.concatenate(outputs)


async def test_a_silent_stream_is_kept_and_goes_on_to_the_same_bits():
    server = Server()
    inputs = distinct(8, 1)
    call = await server.open("pump")
    before = await server.push(call, inputs[:3])
    server.silence.look(100)
    server.silence.look(109.9)
    assert not call.told
    server.silence.look(110)
    assert [one.reason for one in call.told] == ["IDLE"]
    assert "silent for 10 s and is kept: resume it" in call.told[0].message
    assert server.model.arena.slots.taken == 0
    # What the call does on its way out is no longer its affair.
    server.kept.leave(call.stream)

    again = await server.open("pump", resume=Resume(received=3, replay_from=4))
    assert again.stream.expected == 4
    after = await server.push(again, inputs[3:])
    assert np.concatenate([before, after]).tobytes() == alone(inputs).tobytes()


async def test_a_stream_that_speaks_now_and_then_stays():
    server = Server()
    talking, silent = await server.open("talking"), await server.open("silent")
    for seed, now in enumerate(range(100, 140, 5)):
        await server.push(talking, distinct(1, seed))
        server.silence.look(now)
    assert not talking.told
    assert [one.reason for one in silent.told] == ["IDLE"]
    assert server.model.arena.slots.taken == 1


async def test_a_refused_chunk_is_no_silence():
    server = Server()
    call = await server.open("pump")
    for now in (100, 109, 118):
        call.stream.heard += 1
        server.silence.look(now)
    assert not call.told


async def test_a_stream_whose_chunk_is_under_way_is_not_silent():
    server = Server()
    call = await server.open("pump")
    server.silence.look(100)
    task = asyncio.ensure_future(server.streams.push(call.stream, chunk(1, distinct(2, 4))))
    await asyncio.sleep(0)
    assert call.stream.busy
    server.silence.look(200)
    await task
    server.silence.look(201)
    server.silence.look(210)
    assert not call.told
    server.silence.look(211)
    assert call.told


async def test_streams_without_a_native_call_are_passed_over():
    server = Server()
    stream = server.streams.open("fake")
    for now in (100, 200):
        server.silence.look(now)
    assert server.streams.get(stream.id) is stream


@pytest.mark.parametrize("looks", [(100, 120)])
async def test_an_ephemeral_stream_ends(looks):
    server = Server()
    call = await server.open("pump", ephemeral=True)
    await server.push(call, distinct(1, 5))
    for now in looks:
        server.silence.look(now)
    assert "silent for 10 s and ended with its call" in call.told[0].message
    assert server.model.arena.slots.taken == server.streams.live == 0


async def test_one_that_has_taken_no_chunk_is_kept_too():
    server = Server()
    call = await server.open("pump")
    for now in (100, 110):
        server.silence.look(now)
    assert call.told
    assert server.model.arena.slots.taken == 0
    again = await server.open("pump", resume=Resume(received=0, replay_from=1))
    inputs = distinct(3, 6)
    assert (await server.push(again, inputs)).tobytes() == alone(inputs).tobytes()
