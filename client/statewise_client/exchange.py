"""The chunks of a stream and their answers.

Owns the numbers of chunks, the cutting of long ones and the joining of their outputs, whether each
answer is the one that is due, and what a caller may ask of the stream now. Knows nothing of gRPC or
of waiting: chunks and replies in, messages and outputs out.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from statewise_client._generated.statewise.v1.stream_pb2 import (
    DATA_TYPE_FLOAT32,
    Chunk,
    ClientMessage,
    Refused,
    Result,
    ServerMessage,
)
from statewise_client.arrays import Float32, pack, to_steps, unpack
from statewise_client.errors import ChunkRefused, ProtocolError, StreamMisused
from statewise_client.protocol import StreamInfo

# gRPC servers refuse messages above 4 MiB unless they are told otherwise.
_MAX_PART_BYTES = 1024 * 1024
_FLOAT32_BYTES = 4


class _Part(NamedTuple):
    """A message that waits for its answer; a long chunk is several."""

    sequence: int
    steps: int
    ends_chunk: bool
    # Whether the chunk was one step without a steps axis.
    is_single: bool


class Exchange:
    """One stream's chunks, in the order in which they are sent and answered.

    Attributes:
        in_flight: chunks that were sent and are not answered yet.
        is_over: whether the stream was closed or has failed.
    """

    def __init__(self, info: StreamInfo) -> None:
        """Begins after Opened."""
        self.in_flight = 0
        self.is_over = False
        self._info = info
        step_bytes = len(info.features) * _FLOAT32_BYTES
        self._max_steps = min(info.max_chunk_steps, max(1, _MAX_PART_BYTES // step_bytes))
        self._next = 1
        # What the server takes next, as far as its answers tell.
        self._expected = 1
        self._waiting: deque[_Part] = deque()
        self._answered: list[Float32] = []
        self._refusal: ChunkRefused | None = None

    def check_open(self) -> None:
        """Raises StreamMisused where the stream is over."""
        if self.is_over:
            raise StreamMisused(f"stream {self._info.stream_id!r} is over; open a new one")

    def check_idle(self) -> None:
        """Raises StreamMisused where the stream is over, or the next answer is another chunk's."""
        self.check_open()
        if self.in_flight:
            raise StreamMisused(f"chunks in flight: {self.in_flight}; receive their outputs first")

    def check_due(self) -> None:
        """Raises StreamMisused where the stream is over, or no answer is due."""
        self.check_open()
        if not self.in_flight:
            raise StreamMisused("nothing is in flight; send a chunk first")

    def send(self, values: ArrayLike) -> list[ClientMessage]:
        """The messages that carry a chunk.

        Args:
            values: (features,) or (steps, features).

        Raises:
            ChunkRefused: the chunk can't be what the model takes; nothing is to be sent.
            StreamMisused: the stream is over.
        """
        self.check_open()
        steps = to_steps(values, self._info.features, self._next)
        starts = range(0, len(steps), self._max_steps)
        is_single = np.ndim(values) == 1
        messages = []
        for start in starts:
            part = steps[start : start + self._max_steps]
            self._waiting.append(_Part(self._next, len(part), start == starts[-1], is_single))
            messages.append(_message(self._next, part))
            self._next += 1
        self.in_flight += 1
        return messages

    def receive(self, reply: ServerMessage) -> Float32 | None:
        """Takes the next answer.

        A refused chunk's number is expected again, so that what was sent behind it is refused as
        well. The refusal is raised when all of that is in, and the next chunk can be sent.

        Args:
            reply: answers the oldest message in flight, of which there has to be one.

        Returns:
            The outputs of a chunk, (outputs,) or (steps, outputs) as the chunk was; None where
            more answers are due first.

        Raises:
            ChunkRefused: the oldest chunk in flight was refused; nothing is in flight any more.
            ProtocolError: it is not the answer that is due; the stream can't go on.
        """
        part = self._waiting.popleft()
        kind = reply.WhichOneof("message") or "empty"
        if kind == "result":
            return self._accept(part, reply.result)
        if kind == "refused":
            self._refuse(part, reply.refused)
            return None
        raise ProtocolError(f"a reply is {kind} where the answer to chunk {part.sequence} was due")

    def _accept(self, part: _Part, result: Result) -> Float32 | None:
        if not result.sequence == part.sequence == self._expected:
            raise ProtocolError(
                f"a result has sequence {result.sequence}; {part.sequence} was sent and "
                f"{self._expected} was due"
            )
        self._answered.append(self._outputs(part, result))
        self._expected += 1
        if not part.ends_chunk:
            return None
        outputs = _joined(self._answered)
        self._answered.clear()
        self.in_flight -= 1
        return outputs[0] if part.is_single else outputs

    def _refuse(self, part: _Part, refused: Refused) -> None:
        if (refused.sequence, refused.expected_sequence) != (part.sequence, self._expected):
            raise ProtocolError(
                f"a refusal has sequence {refused.sequence} and expects "
                f"{refused.expected_sequence}; {part.sequence} was sent and {self._expected} was "
                "due"
            )
        if self._refusal is None:
            outputs = _joined(self._answered) if self._answered else None
            self._refusal = ChunkRefused(
                refused.sequence, refused.reason, refused.message, refused.metadata, outputs
            )
        if not self._waiting:
            self._raise_refusal(self._refusal)

    def _raise_refusal(self, refusal: ChunkRefused) -> None:
        self._answered.clear()
        self._refusal = None
        self._next = self._expected
        self.in_flight = 0
        raise refusal

    def _outputs(self, part: _Part, result: Result) -> Float32:
        width = len(self._info.outputs)
        if (result.dtype, result.steps, result.outputs) != (DATA_TYPE_FLOAT32, part.steps, width):
            raise ProtocolError(
                f"result {result.sequence} has dtype {result.dtype}, {result.steps} steps and "
                f"{result.outputs} outputs; float32, {part.steps} and {width} were due"
            )
        needed = part.steps * width * _FLOAT32_BYTES
        if len(result.data) != needed:
            raise ProtocolError(
                f"result {result.sequence} has {len(result.data)} bytes; {part.steps} steps of "
                f"{width} float32 outputs are {needed}"
            )
        return unpack(result.data, width)


def _message(sequence: int, steps: Float32) -> ClientMessage:
    count, features = steps.shape
    return ClientMessage(
        chunk=Chunk(
            sequence=sequence,
            dtype=DATA_TYPE_FLOAT32,
            steps=count,
            features=features,
            data=pack(steps),
        )
    )


def _joined(parts: list[Float32]) -> Float32:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
