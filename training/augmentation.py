"""Variations of the sequences that are fitted, so that a network learns what they have in common.

Owns the turning of vectors, such as those of an accelerometer that each person wears a little
differently. A variation is a function of the seed and of a place among the batches alone, so that a
fit that goes on needs to remember none.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.config import AugmentationConfig, Config
from training.data.sequences import Sequence
from training.errors import ConfigError
from training.trained import Channel

# Varies a sequence; equal places, such as (batch, lane), give equal variations.
Vary = Callable[[Sequence, tuple[int, ...]], Sequence]


def unchanged(sequence: Sequence, place: tuple[int, ...]) -> Sequence:
    """Varies nothing."""
    del place
    return sequence


class Turning:
    """Turns all vectors of a sequence by the same angle about the same axis."""

    def __init__(self, vectors: NDArray[np.int64], degrees: float, seed: int) -> None:
        """Takes the columns of each vector, (vectors, 3), and the spread of the angle."""
        self._vectors = vectors
        self._degrees = degrees
        self._seed = seed

    def __call__(self, sequence: Sequence, place: tuple[int, ...]) -> Sequence:
        """The sequence as a sensor would have given it that was put on differently."""
        draw = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=place))
        turn = rotation(draw.normal(size=3), np.deg2rad(draw.normal() * self._degrees))
        features = sequence.features.copy()
        # (steps, vectors, 3)
        features[:, self._vectors] = features[:, self._vectors] @ turn.T.astype(np.float32)
        return replace(sequence, features=features)


def rotation(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """The matrix that turns vectors about an axis of any length by an angle in radians, (3, 3).

    It is Rodrigues' formula, 1 + sin(a) K + (1 - cos(a)) K^2, with K v the cross product of the
    axis with v.
    """
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: NDArray[np.float64] = (
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    )
    return turn


def choose_variation(config: Config, channels: tuple[Channel, ...]) -> Vary:
    """The variation that a configuration asks for.

    Raises:
        ConfigError: no channels are the components of a vector, or one is missing.
    """
    settings = config.augmentation
    if settings.turn_degrees == 0:
        return unchanged
    vectors = _find_vectors(settings, [channel.name for channel in channels])
    return Turning(vectors, settings.turn_degrees, config.seed)


def _find_vectors(settings: AugmentationConfig, names: list[str]) -> NDArray[np.int64]:
    """The columns of each vector's components, (vectors, 3)."""
    axes = settings.axes
    found = []
    for name in names:
        if axes[0] not in name:
            continue
        components = [name.replace(axes[0], axis) for axis in axes]
        if missing := [component for component in components if component not in names]:
            raise ConfigError(
                f"augmentation.axes = {list(axes)}: '{name}' would need a channel '{missing[0]}' "
                "beside it, which is not there; make the parts longer"
            )
        found.append([names.index(component) for component in components])
    if not found:
        raise ConfigError(
            f"augmentation.axes = {list(axes)}: no channel's name holds '{axes[0]}'; "
            f"there are {', '.join(names)}"
        )
    return np.array(found)
