"""Scaling of inputs and of regression's targets: mean and spread of each channel.

Owns how it is fitted: on the training part alone, so that nothing leaks from what is held out.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.sequences import Sequence
from training.errors import DataError
from training.trained import Channel


@dataclass(frozen=True)
class Scaling:
    """What `(x - mean) / scale` needs.

    Attributes:
        mean: (features,), in each channel's own unit.
        scale: standard deviation, (features,), in each channel's own unit; never 0.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]


def fit_scaling(training: tuple[Sequence, ...], channels: tuple[Channel, ...]) -> Scaling:
    """Measures mean and standard deviation over all training steps.

    Raises:
        DataError: a channel never changes.
    """
    parts = [piece.features for sequence in training for piece in sequence.pieces()]
    return _measure("feature", "features", [channel.name for channel in channels], parts)


def fit_target_scaling(training: tuple[Sequence, ...], names: tuple[str, ...]) -> Scaling:
    """Measures mean and standard deviation over all training steps that have a target.

    Raises:
        DataError: a target never changes, or is missing everywhere.
    """
    parts = [piece.targets for sequence in training for piece in sequence.pieces()]
    return _measure("target", "target", list(names), parts)


def _measure(role: str, setting: str, names: list[str], parts: list[NDArray[Any]]) -> Scaling:
    """Measures each column over all parts, (steps, columns) each; NaN is missing.

    Part by part, in three passes: together they may be larger than memory.
    """
    lowest, highest = _gather(parts, np.fmin, np.inf), _gather(parts, np.fmax, -np.inf)
    for name, low, high in zip(names, lowest, highest, strict=True):
        if low >= high:
            always = f"always {low}" if low == high else "missing everywhere"
            raise DataError(
                f"{role} '{name}' is {always} in the training part, and so says nothing; "
                f"take it out of data.{setting}"
            )
    count = sum((~np.isnan(part)).sum(axis=0) for part in parts)
    mean = sum(np.nansum(part, axis=0, dtype=np.float64) for part in parts) / count
    squares = sum(np.nansum((part - mean) ** 2, axis=0) for part in parts)
    return Scaling(mean.astype(np.float32), np.sqrt(squares / count).astype(np.float32))


def _gather(parts: list[NDArray[Any]], choose: np.ufunc, start: float) -> NDArray[np.float64]:
    """The lowest or highest of each column; `start` where all are missing."""
    first = np.full(parts[0].shape[1], start)
    return reduce(choose, (choose.reduce(part, axis=0) for part in parts), first)
