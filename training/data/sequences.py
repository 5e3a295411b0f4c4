"""Sequences of steps, each with its target, in memory.

Owns the form in which all other code sees data, and its digest. Knows neither files nor torch.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.trained import Channel

_PIECE_STEPS = 4_096


@dataclass(frozen=True)
class Sequence:
    """One entity's steps in their order.

    Attributes:
        entity: whose steps they are.
        order: what they are ordered by, numbers or times, (steps,).
        features: float32, as a stream sends them, (steps, features).
        targets: index of each step's class, (steps,), -1 where it is missing; or float32 numbers
            or labels, (steps, outputs), NaN where they are missing.
        weights: how much each step's target counts, (steps,); None where all count 1.
        group: what it belongs to with other entities; its own name where it stands alone.
    """

    entity: str
    order: NDArray[Any]
    features: NDArray[np.float32]
    targets: NDArray[np.int64] | NDArray[np.float32]
    weights: NDArray[np.float32] | None = None
    group: str = ""

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.targets)

    def cut(self, start: int, stop: int) -> "Sequence":
        """Steps from `start` to before `stop`."""
        part = slice(start, stop)
        return replace(
            self,
            order=self.order[part],
            features=self.features[part],
            targets=self.targets[part],
            weights=None if self.weights is None else self.weights[part],
        )

    def pieces(self) -> Iterator["Sequence"]:
        """The sequence piece by piece, for work whose memory must not grow with its length."""
        for start in range(0, len(self), _PIECE_STEPS):
            yield self.cut(start, start + _PIECE_STEPS)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which targets are there, of the targets' shape."""
        targets = self.targets
        return targets >= 0 if targets.dtype.kind == "i" else ~np.isnan(targets)


@dataclass(frozen=True)
class Dataset:
    """All sequences, and what their numbers mean.

    Attributes:
        features: the input's channels, in column order.
        labels: names of the outputs: the classes, in index order, or the target columns.
        sequences: one for each entity.
        units: of the outputs; none for classes and labels.
    """

    features: tuple[Channel, ...]
    labels: tuple[str, ...]
    sequences: tuple[Sequence, ...]
    units: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Fingerprint of all that training sees: names, units, labels, steps; "sha256:<hex>"."""
        digest = hashlib.sha256()
        channels = [[channel.name, channel.unit] for channel in self.features]
        digest.update(json.dumps([channels, self.labels, self.units]).encode())
        for sequence in self.sequences:
            digest.update(json.dumps([sequence.entity, len(sequence)]).encode())
            for piece in sequence.pieces():
                digest.update(piece.features.astype("<f4").tobytes())
            digest.update(sequence.targets.tobytes())
            if sequence.weights is not None:
                digest.update(sequence.weights.tobytes())
        return f"sha256:{digest.hexdigest()}"
