"""Batches of ragged sequences, padded, with a mask of the real steps.

Owns which steps a batch holds. A crop begins anywhere in a sequence and is computed from zero
state, as a stream that is opened there would be.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.sequences import Sequence


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, one a lane, padded at their ends.

    Attributes:
        inputs: (steps, lanes, features); 0 where padded.
        targets: index of each step's class, (steps, lanes), or numbers or labels,
            (steps, lanes, outputs); 0 where padded or missing.
        real: False where padded, (steps, lanes).
        weights: how much each target counts, of the targets' shape; 0 where padded or missing.
    """

    inputs: Tensor
    targets: Tensor
    real: Tensor
    weights: Tensor


def pad(sequences: list[Sequence]) -> Batch:
    """Lays sequences side by side, as long as the longest."""
    steps, lanes = max(len(sequence) for sequence in sequences), len(sequences)
    inputs = np.zeros((steps, lanes, sequences[0].features.shape[1]), np.float32)
    first = sequences[0].targets
    targets = np.zeros((steps, lanes, *first.shape[1:]), first.dtype)
    weights = np.zeros(targets.shape, np.float32)
    real = np.zeros((steps, lanes), bool)
    for lane, sequence in enumerate(sequences):
        inputs[: len(sequence), lane] = sequence.features
        scored = sequence.scored
        targets[: len(sequence), lane] = np.where(scored, sequence.targets, 0)
        weights[: len(sequence), lane] = _weighted(scored, sequence)
        real[: len(sequence), lane] = True
    return Batch(*map(torch.from_numpy, (inputs, targets, real, weights)))


def _weighted(scored: NDArray[np.bool_], sequence: Sequence) -> NDArray[np.float32]:
    """The weight of each target, of the targets' shape."""
    weights = scored.astype(np.float32)
    return weights if sequence.weights is None else (weights.T * sequence.weights).T


class CropSampler:
    """Draws batches of random crops.

    A batch is a function of the seed and its number alone: nothing has to be remembered from one
    batch to the next.
    """

    def __init__(
        self, sequences: tuple[Sequence, ...], lanes: int, crop_steps: int, seed: int
    ) -> None:
        self._sequences = sequences
        self._lanes = lanes
        self._crop_steps = crop_steps
        self._seed = seed
        lengths = np.array([len(sequence) for sequence in sequences])
        # By length, so that every step is about as likely as every other.
        self._shares = lengths / lengths.sum()

    def batch(self, number: int) -> Batch:
        """Batch `number`; a sequence shorter than a crop is taken whole."""
        generator = np.random.default_rng((self._seed, number))
        chosen = generator.choice(len(self._sequences), self._lanes, p=self._shares)
        return pad([self._crop(self._sequences[index], generator) for index in chosen])

    def _crop(self, sequence: Sequence, generator: np.random.Generator) -> Sequence:
        steps = min(self._crop_steps, len(sequence))
        start = int(generator.integers(len(sequence) - steps + 1))
        return sequence.cut(start, start + steps)
