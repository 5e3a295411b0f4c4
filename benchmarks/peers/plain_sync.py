"""The plain way with threads: a grpcio server that gives each stream a thread of its own.

Owns statewise.v1's Stream as one would write it in an afternoon: the state is a local variable of a
generator. The pool has a thread for every stream that the benchmark opens, since a stream without
one would wait for ever.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from benchmarks.peers.plain import LIMITS, PlainModel, options
from protos.statewise.v1.stream_pb2 import ClientMessage, Closed, ServerMessage
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceServicer,
    add_StreamServiceServicer_to_server,
)

_THREADS = 5_000


class PlainServicer(StreamServiceServicer):
    """Streams of one model."""

    def __init__(self, model: PlainModel) -> None:
        self._model = model

    def Stream(  # noqa: N802 - the contract's name
        self, request_iterator: Iterator[ClientMessage], context: grpc.ServicerContext
    ) -> Iterator[ServerMessage]:
        """One stream, from Open to Close."""
        state = self._model.initial()
        steps = 0
        for request in request_iterator:
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


def serve(model: PlainModel, port: int) -> None:
    """Serves on loopback until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=LIMITS)
    add_StreamServiceServicer_to_server(PlainServicer(model), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(f"ready: grpc 127.0.0.1:{bound}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    given = options("plain_sync", __doc__)
    serve(PlainModel(given.model), given.port)
