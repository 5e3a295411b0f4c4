"""The plain way: a grpc.aio server that runs the model once for every message that arrives.

Owns statewise.v1's Stream as one would write it in an afternoon: the state is a local variable, the
server stands on its defaults but for its limits, the event loop is uvloop. It serves one model
under every name. The handler is an asynchronous generator; one that reads and writes by hand was
measured, and is no faster.
"""

from collections.abc import AsyncIterator

import grpc
import uvloop

from benchmarks.peers.plain import LIMITS, PlainModel, options
from protos.statewise.v1.stream_pb2 import ClientMessage, Closed, ServerMessage
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceServicer,
    add_StreamServiceServicer_to_server,
)


class PlainServicer(StreamServiceServicer):
    """Streams of one model."""

    def __init__(self, model: PlainModel) -> None:
        self._model = model

    async def Stream(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[ClientMessage],
        context: grpc.aio.ServicerContext[ClientMessage, ServerMessage],
    ) -> AsyncIterator[ServerMessage]:
        """One stream, from Open to Close."""
        state = self._model.initial()
        steps = 0
        async for request in request_iterator:
            match request.WhichOneof("message"):
                case "open":
                    yield ServerMessage(opened=self._model.opened())
                case "chunk":
                    result, state = self._model.result(request.chunk, state)
                    steps += result.steps
                    yield ServerMessage(result=result)
                case "close":
                    yield ServerMessage(closed=Closed(steps=steps))
                    return


async def serve(model: PlainModel, port: int) -> None:
    """Serves on loopback until the process is ended."""
    server = grpc.aio.server(options=LIMITS)
    add_StreamServiceServicer_to_server(PlainServicer(model), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(f"ready: grpc 127.0.0.1:{bound}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    given = options("plain_aio", __doc__)
    uvloop.run(serve(PlainModel(given.model), given.port))
