"""Thousands of streams that come at the same moment."""

import asyncio
import collections

import grpc
from processes import serving

from benchmarks.load.generator import Generator
from benchmarks.load.settings import LoadSettings
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

STREAMS, CONNECTIONS = 4_000, 8
CROWD = 600


async def opened(stub):
    """Which answer a new stream gets, and its call, which stays open."""
    call = stub.Stream()
    try:
        await call.write(wire.ClientMessage(open=wire.Open(model="random")))
        return (await call.read()).WhichOneof("message"), call
    except grpc.aio.AioRpcError as error:
        return error.code().name, call


async def open_all(target):
    # Connections of their own, which channels to one target would share.
    own = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=own) for _ in range(CONNECTIONS)]
    stubs = [StreamServiceStub(channel) for channel in channels]
    answers = await asyncio.gather(
        *(opened(stubs[number % CONNECTIONS]) for number in range(STREAMS))
    )
    for channel in channels:
        await channel.close()
    return collections.Counter(answer for answer, _ in answers)


def test_4000_streams_opened_at_once_are_all_served(model_path):
    with serving(model_path) as server:
        assert asyncio.run(open_all(server.target)) == {"opened": STREAMS}


def test_newcomers_come_in_while_others_keep_the_server_busy(model_path):
    with serving(model_path) as server:
        host, port = server.target.rsplit(":", 1)
        load = LoadSettings(host, int(port), "random", CROWD, 2, warmup_seconds=0, seconds=1)
        taken = Generator(load).run_until_all_have_answers()
    # Steps and not seconds: how often the first went before the last had its turn. Where each
    # newcomer waits a round of everybody's messages, it is hundreds.
    assert max(taken) < 250
