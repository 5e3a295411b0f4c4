"""How well a network does on sequences that it was not fitted on.

Owns the figures of a held-out part. Every sequence is streamed cold, from zero state over all its
steps, and every real step counts, those before the network can know anything too: this is what a
service will reproduce.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.sequences import Sequence
from training.network import RecurrentNetwork
from training.objective import score
from training.sampling import Batch, pad

# Sequences computed at a time: bounds the memory, and is wide enough for full speed.
_LANES = 256


@dataclass(frozen=True)
class Evaluation:
    """Figures over all real steps.

    Attributes:
        loss: mean cross-entropy of a step, in nats.
        confusion: steps by true class (row) and most likely class (column), (classes, classes).
    """

    loss: float
    confusion: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """Number of real steps."""
        return int(self.confusion.sum())

    @property
    def accuracy_percent(self) -> float:
        """Share of steps whose most likely class is the true one."""
        return 100.0 * float(np.trace(self.confusion)) / self.steps


def evaluate(network: RecurrentNetwork, sequences: tuple[Sequence, ...]) -> Evaluation:
    """Streams every sequence cold through the network and compares."""
    classes = network.shape.outputs
    confusion = np.zeros((classes, classes), np.int64)
    loss = 0.0
    # Neighbours of like length share a batch, so that little of it is padding.
    ordered = sorted(sequences, key=len)
    with torch.inference_mode():
        for start in range(0, len(ordered), _LANES):
            batch = pad(ordered[start : start + _LANES])
            logits, _ = network(batch.inputs)
            loss += score(logits, batch).loss.item()
            confusion += _confusion(logits, batch)
    return Evaluation(loss / int(confusion.sum()), confusion)


def _confusion(logits: torch.Tensor, batch: Batch) -> NDArray[np.int64]:
    classes = logits.shape[-1]
    answers = logits[batch.real].argmax(dim=-1)
    pairs = batch.targets[batch.real] * classes + answers
    return np.bincount(pairs.numpy(), minlength=classes**2).reshape(classes, classes)
