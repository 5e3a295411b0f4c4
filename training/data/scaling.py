"""Input scaling: mean and spread of each channel.

Owns how it is fitted: on the training part alone, so that nothing leaks from what is held out.
"""

from dataclasses import dataclass

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
    steps = np.concatenate([sequence.features for sequence in training]).astype(np.float64)
    mean, scale = steps.mean(axis=0), steps.std(axis=0)
    for channel, low, high in zip(channels, steps.min(axis=0), steps.max(axis=0), strict=True):
        if low == high:
            raise DataError(
                f"feature '{channel.name}' is always {low} in the training part, and so says "
                "nothing; take it out of data.features"
            )
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))
