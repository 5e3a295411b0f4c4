import numpy as np
import pytest

from training.data.scaling import fit_scaling
from training.data.sequences import Sequence
from training.errors import DataError
from training.trained import Channel

CHANNELS = (Channel("a"), Channel("flat"))


def make(features: np.ndarray) -> Sequence:
    steps = len(features)
    return Sequence("s", np.arange(steps), features.astype(np.float32), np.zeros(steps, np.int64))


def test_scaled_steps_have_mean_0_and_spread_1() -> None:
    draw = np.random.default_rng(1)
    sequences = tuple(make(draw.normal(5, 3, size=(steps, 2)) * [1, 100]) for steps in (10, 90))
    scaling = fit_scaling(sequences, CHANNELS)
    steps = np.concatenate([sequence.features for sequence in sequences])
    scaled = (steps - scaling.mean) / scaling.scale
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-6)


def test_a_constant_channel_is_named() -> None:
    features = np.stack([np.arange(5), np.full(5, 7)], axis=1)
    with pytest.raises(DataError, match=r"feature 'flat' is always 7\.0 in the training part"):
        fit_scaling((make(features),), CHANNELS)
