"""Sequences of steps, each with a class, in memory.

Owns the form in which all other code sees data, and its digest. Knows neither files nor torch.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.trained import Channel


@dataclass(frozen=True)
class Sequence:
    """One entity's steps in their order.

    Attributes:
        entity: whose steps they are.
        order: what they are ordered by, numbers or times, (steps,).
        features: float32, as a stream sends them, (steps, features).
        targets: index of each step's class, (steps,).
    """

    entity: str
    order: NDArray[Any]
    features: NDArray[np.float32]
    targets: NDArray[np.int64]

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
        )


@dataclass(frozen=True)
class Dataset:
    """All sequences, and what their numbers mean.

    Attributes:
        features: the input's channels, in column order.
        labels: the classes, in index order.
        sequences: one for each entity.
    """

    features: tuple[Channel, ...]
    labels: tuple[str, ...]
    sequences: tuple[Sequence, ...]

    @property
    def digest(self) -> str:
        """Fingerprint of all that training sees: names, units, labels, steps; "sha256:<hex>"."""
        digest = hashlib.sha256()
        channels = [[channel.name, channel.unit] for channel in self.features]
        digest.update(json.dumps([channels, self.labels]).encode())
        for sequence in self.sequences:
            digest.update(json.dumps([sequence.entity, len(sequence)]).encode())
            digest.update(sequence.features.astype("<f4").tobytes())
            digest.update(sequence.targets.astype("<i8").tobytes())
        return f"sha256:{digest.hexdigest()}"
