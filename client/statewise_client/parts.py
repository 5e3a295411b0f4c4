"""A chunk as it travels: in one message, or in parts where it is long.

Owns the size of a part, the message that carries it and the outputs that answer it. Knows nothing
of the order of chunks.
"""

from typing import NamedTuple

import numpy as np

from statewise_client._generated.statewise.v1.stream_pb2 import (
    DATA_TYPE_FLOAT32,
    Chunk,
    ClientMessage,
    Result,
)
from statewise_client.arrays import Float32, pack, unpack
from statewise_client.errors import ProtocolError
from statewise_client.protocol import StreamInfo

# gRPC servers refuse messages above 4 MiB unless they are told otherwise.
_MAX_PART_BYTES = 1024 * 1024
_FLOAT32_BYTES = 4


class Part(NamedTuple):
    """A message that waits for its answer; a long chunk is several.

    Attributes:
        sequence: its number.
        steps: None where an earlier caller sent it.
        ends_chunk: whether it is its chunk's last.
        is_single: whether the chunk was one step without a steps axis.
        message: carries it; None where an earlier caller sent it.
    """

    sequence: int
    steps: int | None
    ends_chunk: bool
    is_single: bool
    message: ClientMessage | None


def max_steps(info: StreamInfo) -> int:
    """Most steps of a part."""
    step_bytes = len(info.features) * _FLOAT32_BYTES
    return min(info.max_chunk_steps, max(1, _MAX_PART_BYTES // step_bytes))


def message_of(sequence: int, steps: Float32, acknowledged: int) -> ClientMessage:
    """What carries the steps, (steps, features)."""
    count, features = steps.shape
    return ClientMessage(
        chunk=Chunk(
            sequence=sequence,
            dtype=DATA_TYPE_FLOAT32,
            steps=count,
            features=features,
            data=pack(steps),
            acknowledged=acknowledged,
        )
    )


def outputs_of(part: Part, result: Result, width: int) -> Float32:
    """The outputs of a part, (steps, width).

    Raises:
        ProtocolError: the result has another form.
    """
    steps = result.steps if part.steps is None else part.steps
    if (result.dtype, result.steps, result.outputs) != (DATA_TYPE_FLOAT32, steps, width):
        raise ProtocolError(
            f"result {result.sequence} has dtype {result.dtype}, {result.steps} steps and "
            f"{result.outputs} outputs; float32, {steps} and {width} were due"
        )
    needed = steps * width * _FLOAT32_BYTES
    if len(result.data) != needed:
        raise ProtocolError(
            f"result {result.sequence} has {len(result.data)} bytes; {steps} steps of "
            f"{width} float32 outputs are {needed}"
        )
    return unpack(result.data, width)


def joined(parts: list[Float32]) -> Float32:
    """The outputs of parts that follow each other, (steps, width)."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
