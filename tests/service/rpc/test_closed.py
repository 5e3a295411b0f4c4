"""A stream whose end was answered is gone from the store, whatever becomes of its server."""

from contextlib import asynccontextmanager

import grpc
import pytest
from fakes import DurableStore, chunk, distinct, doorway, fake_kept, fake_model, fake_streams
from statewise_client.aio import Client
from statewise_client.errors import StreamFailed

from protos.statewise.v1.stream_pb2_grpc import add_StreamServiceServicer_to_server
from service.durability.openings import Opening
from service.durability.operations import Operations
from service.rpc.stream import StreamServicer
from service.stores.store import Fate

# Their keepers do not run, so that nothing is removed later.


@asynccontextmanager
async def opened(store):
    """A stream that is open at a server over this store."""
    streams = fake_streams(fake_model())
    server = grpc.aio.server()
    servicer = StreamServicer(streams, fake_kept(streams, store), doorway())
    add_StreamServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            Client(f"127.0.0.1:{port}", resume_timeout=0) as client,
            client.open("fake", stream_id="pump") as stream,
        ):
            yield stream
    finally:
        await server.stop(None)


async def test_nothing_is_left_when_a_close_is_answered():
    store = DurableStore(10**6)
    async with opened(store) as stream:
        await stream.push(distinct(3, 1))
        assert await store.read("pump") is not None
        await stream.close()
        assert (await store.claim("pump", "")).fate is Fate.CLOSED


async def test_who_closes_what_goes_on_elsewhere_is_told_so():
    store = DurableStore(10**6)
    with pytest.raises(StreamFailed) as caught:
        async with opened(store) as stream:
            await stream.push(distinct(3, 2))
            await store.claim("pump", "")
            await stream.close()
    assert caught.value.reason == "TAKEN_OVER"
    assert await store.read("pump") is not None


async def test_nothing_is_left_of_a_stream_that_is_closed_from_outside():
    streams, store = fake_streams(fake_model()), DurableStore(10**6)
    kept = fake_kept(streams, store)
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await streams.push(stream, chunk(1, distinct(3, 1)))
    assert await Operations(streams._models, streams, kept).close("pump", "") == (3, b"")
    assert (await store.claim("pump", "")).fate is Fate.CLOSED
