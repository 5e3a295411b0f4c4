"""Arrays of steps as a caller has them, and as they travel: little-endian float32, row-major.

Owns the checks of a chunk before it is sent, with the server's own words for the reasons, so that
it makes no difference to a caller who found the mistake. Knows nothing of messages.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statewise_client.errors import ChunkRefused

Float32 = NDArray[np.float32]
_WIRE = np.dtype("<f4")
# Truth values, whole numbers and real numbers: what float32 can stand for.
_KINDS = "biuf"


def to_steps(values: ArrayLike, features: Sequence[str], sequence: int) -> Float32:
    """The steps of a chunk, checked.

    Args:
        values: one step, (features,), or several, (steps, features); numbers of any real dtype.
        features: the names that the model gives to a step's numbers.
        sequence: number of the chunk, for the refusal.

    Returns:
        (steps, features)

    Raises:
        ChunkRefused: with reason DTYPE, SHAPE, FEATURE_COUNT, STEP_COUNT or NON_FINITE_INPUT.
    """
    array = _numbers(values, sequence)
    _check_shape(array, features, sequence)
    with np.errstate(over="ignore"):
        steps = np.atleast_2d(array).astype(np.float32, copy=False)
    finite = np.isfinite(steps)
    if not finite.all():
        step, feature = divmod(int(finite.argmin()), len(features))
        value = np.atleast_2d(array)[step, feature]
        raise ChunkRefused(
            sequence,
            "NON_FINITE_INPUT",
            f"data has {value} at step {step}, feature {features[feature]!r}; send numbers that "
            "are finite in float32, since one that isn't would stay in the stream's state for ever",
            {"step": str(step), "feature": str(feature), "value": str(value)},
        )
    return steps


def pack(steps: Float32) -> bytes:
    """The bytes of (steps, features)."""
    return steps.astype(_WIRE, copy=False).tobytes()


def unpack(data: bytes, width: int) -> Float32:
    """The numbers, (steps, width), in an array of the caller's own."""
    return np.frombuffer(data, _WIRE).astype(np.float32).reshape(-1, width)


def _numbers(values: ArrayLike, sequence: int) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.asarray(values)
    except ValueError:
        raise ChunkRefused(
            sequence, "SHAPE", "rows differ in length; send (features,) or (steps, features)"
        ) from None
    if array.dtype.kind not in _KINDS:
        raise ChunkRefused(
            sequence,
            "DTYPE",
            f"dtype is {array.dtype}; send real numbers, which travel as float32",
            {"dtype": str(array.dtype)},
        )
    return array


def _check_shape(array: NDArray[np.generic], features: Sequence[str], sequence: int) -> None:
    wanted = len(features)
    if array.ndim not in (1, 2):
        raise ChunkRefused(
            sequence,
            "SHAPE",
            f"shape is {array.shape}; send one step, ({wanted},), or several, (steps, {wanted})",
            {"shape": str(array.shape)},
        )
    if array.shape[-1] != wanted:
        raise ChunkRefused(
            sequence,
            "FEATURE_COUNT",
            f"features is {array.shape[-1]}; this model takes {wanted} a step",
            {"features": str(array.shape[-1]), "expected": str(wanted)},
        )
    if not len(array):
        raise ChunkRefused(
            sequence, "STEP_COUNT", "steps is 0; send at least one step", {"steps": "0"}
        )
