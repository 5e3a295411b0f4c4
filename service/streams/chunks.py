"""From the bytes of a chunk to numbers that a model may see.

Owns the checks of what a caller sends: dtype, shape, length, finiteness, each refused with the
field, the value and the remedy. Knows nothing of streams.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument

Float32 = NDArray[np.float32]

_FLOAT32 = np.dtype("<f4")


class Chunk(NamedTuple):
    """Some steps of input as a caller sent them.

    Attributes:
        sequence: number of the chunk in its stream, from 1.
        dtype: "float32" is what models take.
        steps, features: shape of the data.
        data: little-endian, row-major.
        acknowledged: highest number of a chunk whose result the caller has; None where it does not
            say.
    """

    sequence: int
    dtype: str
    steps: int
    features: int
    data: bytes
    acknowledged: int | None = None


def decode(chunk: Chunk, features: int, max_steps: int) -> Float32:
    """The chunk's numbers, (steps, features), without copying them.

    Args:
        chunk: what was sent.
        features: width of the model's input.
        max_steps: largest number of steps allowed.

    Raises:
        InvalidArgument: with reason DTYPE, FEATURE_COUNT, STEP_COUNT, BYTE_LENGTH or
            NON_FINITE_INPUT.
    """
    if chunk.dtype != "float32":
        raise InvalidArgument(
            f"dtype is {chunk.dtype or 'not set'}; send float32, little-endian",
            reason="DTYPE",
            dtype=chunk.dtype,
        )
    if chunk.features != features:
        raise InvalidArgument(
            f"features is {chunk.features}; this model takes {features} a step",
            reason="FEATURE_COUNT",
            features=chunk.features,
            expected=features,
        )
    if not 1 <= chunk.steps <= max_steps:
        raise InvalidArgument(
            f"steps is {chunk.steps}; send 1 to {max_steps} in a chunk",
            reason="STEP_COUNT",
            steps=chunk.steps,
            max_chunk_steps=max_steps,
        )
    needed = chunk.steps * features * _FLOAT32.itemsize
    if len(chunk.data) != needed:
        raise InvalidArgument(
            f"data has {len(chunk.data)} bytes; {chunk.steps} steps of {features} float32 features "
            f"are {needed}",
            reason="BYTE_LENGTH",
            length=len(chunk.data),
            expected=needed,
        )
    flat = np.frombuffer(chunk.data, _FLOAT32)
    finite = np.isfinite(flat)
    # One look at its bytes; `all` goes through Python and takes twice as long.
    if b"\0" in finite.tobytes():
        raise _not_finite(flat, int(finite.argmin()), features)
    return flat.reshape(chunk.steps, features)


def _not_finite(flat: Float32, place: int, features: int) -> InvalidArgument:
    step, feature = divmod(place, features)
    return InvalidArgument(
        f"data has {flat[place]} at step {step}, feature {feature}; send finite numbers, since one "
        "that isn't would stay in the stream's state for ever",
        reason="NON_FINITE_INPUT",
        step=step,
        feature=feature,
        value=flat[place],
    )
