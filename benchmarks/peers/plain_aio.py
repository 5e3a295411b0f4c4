"""The plain way: a grpc.aio server that runs the model once for every message that arrives.

Owns statewise.v1's Stream as one would write it in an afternoon: the state is a local variable, the
server stands on its defaults, the event loop is uvloop. It trusts its clients, which makes it a
little faster, and serves one model under every name. The handler is an asynchronous generator; one
that reads and writes by hand was measured, and is no faster.
"""

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
import uvloop
from numpy.typing import NDArray

from protos.statewise.v1.stream_pb2 import (
    DATA_TYPE_FLOAT32,
    Chunk,
    ClientMessage,
    Closed,
    Opened,
    Result,
    ServerMessage,
)
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceServicer,
    add_StreamServiceServicer_to_server,
)

Floats = NDArray[np.float32]


class PlainServicer(StreamServiceServicer):
    """Streams of one model with an input and a state, both float32 [batch, width]."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        # The server has one core.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input, self._state = self._session.get_inputs()
        self._output, _ = self._session.get_outputs()

    async def Stream(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[ClientMessage],
        context: grpc.aio.ServicerContext[ClientMessage, ServerMessage],
    ) -> AsyncIterator[ServerMessage]:
        """One stream, from Open to Close."""
        state = np.zeros((1, self._state.shape[1]), np.float32)
        steps = 0
        async for request in request_iterator:
            match request.WhichOneof("message"):
                case "open":
                    yield ServerMessage(opened=self._opened())
                case "chunk":
                    result, state = self._result(request.chunk, state)
                    steps += result.steps
                    yield ServerMessage(result=result)
                case "close":
                    yield ServerMessage(closed=Closed(steps=steps))
                    return

    def _opened(self) -> Opened:
        return Opened(
            features=[f"x{index}" for index in range(self._input.shape[1])],
            outputs=[f"y{index}" for index in range(self._output.shape[1])],
            max_chunk_steps=1,
        )

    def _result(self, chunk: Chunk, state: Floats) -> tuple[Result, Floats]:
        """Outputs of a chunk of one step, and the state (1, size) after it."""
        row = np.frombuffer(chunk.data, "<f4").reshape(1, -1)
        feed = {self._input.name: row, self._state.name: state}
        output, next_state = self._session.run(None, feed)
        result = Result(
            sequence=chunk.sequence,
            dtype=DATA_TYPE_FLOAT32,
            steps=1,
            outputs=output.shape[1],
            data=output.tobytes(),
        )
        return result, next_state


async def serve(model: Path, port: int) -> None:
    """Serves on loopback until the process is ended."""
    server = grpc.aio.server()
    add_StreamServiceServicer_to_server(PlainServicer(model), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(f"ready: grpc 127.0.0.1:{bound}", flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Runs the server."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.plain_aio", description=__doc__
    )
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (0)")
    options = parser.parse_args()
    uvloop.run(serve(options.model, options.port))


if __name__ == "__main__":
    main()
