"""Batches of ragged sequences, padded, with a mask of the real steps.

Owns the form of a batch, and the sampling of crops. A crop begins anywhere in a sequence and is
computed from zero state, as a stream that is opened there would be; `lanes` has the other ways.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.augmentation import Vary, unchanged
from training.data.sequences import Sequence
from training.recurrence import Boundaries


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, one a lane, padded at their ends.

    Attributes:
        inputs: (steps, lanes, features); 0 where padded.
        targets: index of each step's class, (steps, lanes), or numbers or labels,
            (steps, lanes, outputs); 0 where padded or missing.
        real: False where padded, (steps, lanes).
        weights: how much each target counts, of the targets' shape; 0 where padded or missing.
        boundaries: where a lane's sequences begin and end; None where each lane holds one, from
            its first step on.
    """

    inputs: Tensor
    targets: Tensor
    real: Tensor
    weights: Tensor
    boundaries: Boundaries | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        boundaries = self.boundaries
        if boundaries is not None:
            boundaries = Boundaries(boundaries.starts.to(device), boundaries.real.to(device))
        return Batch(
            self.inputs.to(device),
            self.targets.to(device),
            self.real.to(device),
            self.weights.to(device),
            boundaries,
        )


@dataclass(frozen=True)
class Piece:
    """Some steps of a sequence, and whether its first step is among them."""

    steps: Sequence
    begins: bool


class Sampler(Protocol):
    """Where the batches of a fit come from; a batch is a function of its number alone."""

    @property
    def carries(self) -> bool:
        """Whether a lane goes on, in the next batch, from the state that it ended with."""

    def batch(self, number: int) -> Batch:
        """Batch `number`, counted from 0."""


def pad(sequences: list[Sequence]) -> Batch:
    """Lays sequences side by side, as long as the longest."""
    batch = lay_out([[Piece(sequence, begins=True)] for sequence in sequences])
    # From zero state, and with nothing behind the padding: they need no care.
    return replace(batch, boundaries=None)


def lay_out(lanes: list[list[Piece]]) -> Batch:
    """Lays pieces of sequences one after the other in their lanes, as long as the longest."""
    lengths = [sum(len(piece.steps) for piece in lane) for lane in lanes]
    size, first = (max(lengths), len(lanes)), lanes[0][0].steps
    inputs = np.zeros((*size, first.features.shape[1]), np.float32)
    targets = np.zeros((*size, *first.targets.shape[1:]), first.targets.dtype)
    weights = np.zeros(targets.shape, np.float32)
    starts, real = np.zeros(size, bool), np.zeros(size, bool)
    for lane, pieces in enumerate(lanes):
        at = 0
        for piece in pieces:
            part, scored = slice(at, at + len(piece.steps)), piece.steps.scored
            inputs[part, lane] = piece.steps.features
            targets[part, lane] = np.where(scored, piece.steps.targets, 0)
            weights[part, lane] = _weighted(scored, piece.steps)
            real[part, lane] = True
            starts[at, lane] = piece.begins
            at = part.stop
    boundaries = Boundaries(torch.from_numpy(starts), torch.from_numpy(real))
    return Batch(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        torch.from_numpy(real),
        torch.from_numpy(weights),
        boundaries,
    )


def _weighted(scored: NDArray[np.bool_], sequence: Sequence) -> NDArray[np.float32]:
    """The weight of each target, of the targets' shape."""
    weights = scored.astype(np.float32)
    return weights if sequence.weights is None else (weights.T * sequence.weights).T


class CropSampler:
    """Draws batches of random crops.

    A batch is a function of the seed and its number alone: nothing has to be remembered from one
    batch to the next.
    """

    carries = False

    def __init__(
        self,
        sequences: tuple[Sequence, ...],
        lanes: int,
        crop_steps: int,
        seed: int,
        vary: Vary = unchanged,
    ) -> None:
        self._sequences = sequences
        self._vary = vary
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
        crops = [self._crop(self._sequences[index], generator) for index in chosen]
        return pad([self._vary(crop, (number, lane)) for lane, crop in enumerate(crops)])

    def _crop(self, sequence: Sequence, generator: np.random.Generator) -> Sequence:
        steps = min(self._crop_steps, len(sequence))
        start = int(generator.integers(len(sequence) - steps + 1))
        return sequence.cut(start, start + steps)
