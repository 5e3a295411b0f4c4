"""The model as a plain server runs it: once for every message that arrives.

Owns what the plain servers share: a session with a thread, the state as a value that they pass
back, messages of statewise.v1. It trusts its callers.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from protos.statewise.v1.stream_pb2 import DATA_TYPE_FLOAT32, Chunk, Opened, Result

Floats = NDArray[np.float32]

# Statewise's own limits of gRPC; on the defaults a third of 4,000 streams at once are refused.
LIMITS = (
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
)


class PlainModel:
    """A model with an input and a state, both float32 [batch, width]."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        # The server has one core.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input, self._state = self._session.get_inputs()
        self._output, _ = self._session.get_outputs()

    def initial(self) -> Floats:
        """The state of a new stream, (1, size)."""
        return np.zeros((1, self._state.shape[1]), np.float32)

    def opened(self) -> Opened:
        """The answer to a stream's first message."""
        return Opened(
            features=[f"x{index}" for index in range(self._input.shape[1])],
            outputs=[f"y{index}" for index in range(self._output.shape[1])],
            max_chunk_steps=1,
        )

    def result(self, chunk: Chunk, state: Floats) -> tuple[Result, Floats]:
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


def options(name: str, description: str | None) -> argparse.Namespace:
    """The command line of a plain server: its model's file, and its port."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.peers.{name}", description=description
    )
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (0)")
    return parser.parse_args()
