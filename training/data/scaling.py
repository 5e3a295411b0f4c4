"""Scaling of inputs and of regression's targets: mean and spread of each channel.

Owns how it is fitted: on the training part alone, so that nothing leaks from what is held out.
"""

from dataclasses import dataclass
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
    steps = np.concatenate([sequence.features for sequence in training])
    return _measure("feature", "features", [channel.name for channel in channels], steps)


def fit_target_scaling(training: tuple[Sequence, ...], names: tuple[str, ...]) -> Scaling:
    """Measures mean and standard deviation over all training steps that have a target.

    Raises:
        DataError: a target never changes, or is missing everywhere.
    """
    steps = np.concatenate([sequence.targets for sequence in training])
    return _measure("target", "target", list(names), steps)


def _measure(role: str, setting: str, names: list[str], steps: NDArray[Any]) -> Scaling:
    mean, scale = np.zeros(len(names), np.float32), np.ones(len(names), np.float32)
    for index, name in enumerate(names):
        values = steps[~np.isnan(steps[:, index]), index].astype(np.float64)
        if len(values) == 0 or values.min() == values.max():
            always = f"always {values[0]}" if len(values) else "missing everywhere"
            raise DataError(
                f"{role} '{name}' is {always} in the training part, and so says nothing; "
                f"take it out of data.{setting}"
            )
        mean[index], scale[index] = values.mean(), values.std()
    return Scaling(mean, scale)
