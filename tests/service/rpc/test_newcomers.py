"""What streams that are in notice of those that come: nothing, where these find no room."""

import asyncio
from contextlib import contextmanager

import grpc
import pytest
from fakes import distinct, fake_kept, fake_model, fake_streams
from native import ask, chunk, failure, listening, opened, opening

from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub


class Doorway:
    """An open one that counts those who were let in."""

    shut = False
    entered = 0

    @contextmanager
    def call(self):
        self.entered += 1
        yield


class Pace:
    """One that lets nobody through before it is told to."""

    def __init__(self):
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()
        self.refusals = 0

    async def turn(self):
        self.waiting.set()
        await self.go.wait()

    def refused(self):
        self.refusals += 1


@pytest.fixture
async def world():
    streams = fake_streams(fake_model(capacity=1))
    async with listening(streams, fake_kept(streams)) as (channel, servicer):
        servicer._doorway, servicer._pace = Doorway(), Pace()
        yield StreamServiceStub(channel), servicer


async def refusal(stub):
    await (call := stub.Stream()).write(opening())
    return await failure(call)


async def test_only_those_who_were_let_in_pass_the_doorway(world):
    stub, servicer = world
    servicer._pace.go.set()
    await opened(stub)
    for _ in range(3):
        assert (await refusal(stub)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert servicer._doorway.entered == 1


async def test_newcomers_wait_for_their_turn_and_open_streams_do_not(world):
    stub, servicer = world
    servicer._pace.go.set()
    call = await opened(stub)
    servicer._pace.go.clear()
    servicer._pace.waiting.clear()
    newcomer = asyncio.create_task(refusal(stub))
    await asyncio.wait_for(servicer._pace.waiting.wait(), 10)
    for number in range(1, 4):
        answer = await ask(call, chunk(number, distinct(1, number)))
        assert answer.result.sequence == number
    assert not newcomer.done()
    assert not servicer._pace.refusals
    servicer._pace.go.set()
    assert (await newcomer).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_pace_is_told_of_those_without_room_and_of_no_others(world):
    stub, servicer = world
    servicer._pace.go.set()
    await opened(stub, stream_id="pump-7")
    await (taken := stub.Stream()).write(opening(stream_id="pump-7"))
    assert (await failure(taken)).code() is grpc.StatusCode.ALREADY_EXISTS
    assert servicer._pace.refusals == 0
    await refusal(stub)
    assert servicer._pace.refusals == 1
