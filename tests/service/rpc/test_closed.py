"""A stream whose end was answered is gone from the store, whatever becomes of its server."""

import grpc
from fakes import DurableStore, chunk, distinct, doorway, fake_kept, fake_model, fake_streams
from statewise_client.aio import Client

from protos.statewise.v1.stream_pb2_grpc import add_StreamServiceServicer_to_server
from service.durability.openings import Opening
from service.durability.operations import Operations
from service.rpc.stream import StreamServicer
from service.stores.store import Fate

# Their keepers do not run, so that nothing is removed later.


async def test_nothing_is_left_when_a_close_is_answered():
    streams, store = fake_streams(fake_model()), DurableStore(10**6)
    server = grpc.aio.server()
    servicer = StreamServicer(streams, fake_kept(streams, store), doorway())
    add_StreamServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            Client(f"127.0.0.1:{port}") as client,
            client.open("fake", stream_id="pump") as stream,
        ):
            await stream.push(distinct(3, 1))
            assert await store.read("pump") is not None
            await stream.close()
            assert (await store.claim("pump", "")).fate is Fate.CLOSED
    finally:
        await server.stop(None)


async def test_nothing_is_left_of_a_stream_that_is_closed_from_outside():
    streams, store = fake_streams(fake_model()), DurableStore(10**6)
    kept = fake_kept(streams, store)
    stream = (await kept.open(Opening("fake", stream_id="pump"))).stream
    await streams.push(stream, chunk(1, distinct(3, 1)))
    assert await Operations(streams._models, streams, kept).close("pump", "") == (3, b"")
    assert (await store.claim("pump", "")).fate is Fate.CLOSED
