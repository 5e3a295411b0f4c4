"""The native wire, statewise.v1: open, chunks of steps, close.

Owns its messages as a client sends and expects them, serialised before the clock starts as far as
they can be.
"""

from functools import lru_cache

from benchmarks.errors import LoadError
from benchmarks.load.rows import ROWS, stream_rows
from protos.statewise.v1.stream_pb2 import (
    DATA_TYPE_FLOAT32,
    Chunk,
    ClientMessage,
    Close,
    Open,
    ServerMessage,
)

_FLOAT_BYTES = 4


class NativeWire:
    """What one stream says on the native wire.

    Attributes:
        path: the gRPC method.
    """

    path = "/statewise.v1.StreamService/Stream"

    def __init__(self, model: str, index: int, chunk_steps: int = 1) -> None:
        """Prepares a stream.

        Args:
            model: name of the model to open.
            index: which of the streams this is; its inputs follow from it.
            chunk_steps: of a message, a divisor of ROWS.
        """
        self._model = model
        self._index = index
        self._steps = chunk_steps
        self._sent = 0
        self._answered = 0
        self._opened = False
        self._closing = False
        # Serialized chunks that lack their numbers.
        self._chunks: list[bytes] = []
        self._features = 0
        self._output_bytes = 0

    def open(self) -> bytes:
        """The first message."""
        return ClientMessage(open=Open(model=self._model)).SerializeToString()

    def step(self) -> bytes:
        """The next chunk."""
        chunk = self._chunks[self._sent % len(self._chunks)]
        self._sent += 1
        return _head(self._sent, self._steps, self._features) + chunk

    def close(self) -> bytes:
        """The last message."""
        self._closing = True
        return ClientMessage(close=Close()).SerializeToString()

    def read(self, message: bytes) -> bytes | None:
        """The data of a result; None for Opened and Closed.

        Raises:
            LoadError: it is not the answer to what was sent.
        """
        answer = ServerMessage.FromString(message)
        if not self._opened:
            self._start(answer)
            return None
        if self._closing and self._answered == self._sent:
            steps = self._answered * self._steps
            if not answer.HasField("closed") or answer.closed.steps != steps:
                raise self._unexpected(answer, f"Closed after {steps} steps")
            return None
        result = answer.result
        data = result.data
        if result.sequence != self._answered + 1 or len(data) != self._output_bytes:
            raise self._unexpected(answer, f"a Result of {self._output_bytes} bytes")
        self._answered += 1
        return data

    def _start(self, answer: ServerMessage) -> None:
        if not answer.HasField("opened"):
            raise self._unexpected(answer, "Opened")
        self._opened = True
        self._features = len(answer.opened.features)
        self._output_bytes = self._steps * len(answer.opened.outputs) * _FLOAT_BYTES
        rows = stream_rows(self._index, self._features)
        self._chunks = [
            _chunk(rows[first : first + self._steps].tobytes(), self._steps).SerializeToString()
            for first in range(0, ROWS, self._steps)
        ]

    def _unexpected(self, answer: ServerMessage, expected: str) -> LoadError:
        text = " ".join(str(answer).split())[:200]
        return LoadError(
            f"stream {self._index}, sequence {self._sent}: expected {expected}, got {text}"
        )


def _chunk(rows: bytes, steps: int, sequence: int = 0) -> Chunk:
    """A chunk; with number 0, which is not written, its bytes lack the number only."""
    return Chunk(
        sequence=sequence,
        dtype=DATA_TYPE_FLOAT32,
        steps=steps,
        features=len(rows) // steps // _FLOAT_BYTES,
        data=rows,
    )


@lru_cache(maxsize=4096)
def _head(sequence: int, steps: int, features: int) -> bytes:
    """A message with this number, up to where the rest of the chunk follows.

    All streams send the same numbers at about the same time, so that one is made for all.
    """
    rows = bytes(steps * features * _FLOAT_BYTES)
    message = ClientMessage(chunk=_chunk(rows, steps, sequence)).SerializeToString()
    return message.removesuffix(_chunk(rows, steps).SerializeToString())
