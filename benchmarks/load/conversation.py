"""One stream's side of the conversation: open, one step a message, close.

Owns the messages of statewise.v1 as a client sends and expects them, the stream's inputs, and
every output that came back, so that all of them can be checked when the clock has stopped. Knows
nothing of HTTP/2 or sockets.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import LoadError
from protos.statewise.v1.stream_pb2 import (
    DATA_TYPE_FLOAT32,
    Chunk,
    ClientMessage,
    Close,
    Open,
    ServerMessage,
)

# A stream sends this many distinct rows in a circle: enough that no two streams or steps can be
# taken for each other, few enough to be serialised before the clock starts.
ROWS = 16
_FLOAT_BYTES = 4


def stream_rows(index: int, features: int) -> NDArray[np.float32]:
    """Inputs of the stream with this index, (ROWS, features); step n sends row (n - 1) % ROWS."""
    return np.random.default_rng(index).standard_normal((ROWS, features), np.float32)


class Conversation:
    """A stream that sends its next step as soon as the last one is answered.

    Attributes:
        sent_at: when the message in flight was sent, in nanoseconds.
        stopping: set it, and the next answer is followed by Close.
        closing: whether Close was sent.
        outputs: data of every result, in order.
    """

    def __init__(self, model: str, index: int, latencies: list[int]) -> None:
        """Prepares a stream.

        Args:
            model: name of the model to open.
            index: which of the streams this is; its inputs follow from it.
            latencies: where the time of every step is appended, in nanoseconds.
        """
        self.sent_at = 0
        self.stopping = False
        self.closing = False
        self.outputs: list[bytes] = []
        self._model = model
        self._index = index
        self._latencies = latencies
        self._sequence = 0
        # Serialized chunks that lack their numbers.
        self._rows: list[bytes] = []
        self._features = 0
        self._output_bytes = 0

    def open(self) -> bytes:
        """The first message."""
        return ClientMessage(open=Open(model=self._model)).SerializeToString()

    def answer(self, message: bytes, now: int) -> bytes | None:
        """Takes the server's message and gives the next one to send, None after Closed.

        Args:
            message: a ServerMessage.
            now: when it arrived, in nanoseconds.

        Raises:
            LoadError: it is not the answer to what was sent.
        """
        if self.closing:
            self._end(message)
            return None
        if self._sequence == 0:
            self._start(message)
        else:
            self._take(message, now)
        return self._close() if self.stopping else self._next()

    def _start(self, message: bytes) -> None:
        answer = ServerMessage.FromString(message)
        if not answer.HasField("opened"):
            raise self._unexpected(answer, "Opened")
        self._features = len(answer.opened.features)
        self._output_bytes = len(answer.opened.outputs) * _FLOAT_BYTES
        self._rows = [
            _chunk(row.tobytes()).SerializeToString()
            for row in stream_rows(self._index, self._features)
        ]

    def _take(self, message: bytes, now: int) -> None:
        answer = ServerMessage.FromString(message)
        result = answer.result
        data = result.data
        if result.sequence != self._sequence or len(data) != self._output_bytes:
            raise self._unexpected(answer, f"a Result of {self._output_bytes} bytes")
        self._latencies.append(now - self.sent_at)
        self.outputs.append(data)

    def _next(self) -> bytes:
        row = self._rows[self._sequence % ROWS]
        self._sequence += 1
        return _head(self._sequence, self._features) + row

    def _close(self) -> bytes:
        self.closing = True
        return ClientMessage(close=Close()).SerializeToString()

    def _end(self, message: bytes) -> None:
        answer = ServerMessage.FromString(message)
        if not answer.HasField("closed") or answer.closed.steps != len(self.outputs):
            raise self._unexpected(answer, f"Closed after {len(self.outputs)} steps")

    def _unexpected(self, answer: ServerMessage, expected: str) -> LoadError:
        text = " ".join(str(answer).split())[:200]
        return LoadError(
            f"stream {self._index}, sequence {self._sequence}: expected {expected}, got {text}"
        )


def _chunk(row: bytes, sequence: int = 0) -> Chunk:
    """A chunk of one step; with number 0, which is not written, its bytes lack the number only."""
    features = len(row) // _FLOAT_BYTES
    return Chunk(sequence=sequence, dtype=DATA_TYPE_FLOAT32, steps=1, features=features, data=row)


@lru_cache(maxsize=4096)
def _head(sequence: int, features: int) -> bytes:
    """A message with this number, up to where the rest of the chunk follows.

    All streams send the same numbers at about the same time, so that one is made for all.
    """
    row = bytes(features * _FLOAT_BYTES)
    message = ClientMessage(chunk=_chunk(row, sequence)).SerializeToString()
    return message.removesuffix(_chunk(row).SerializeToString())
