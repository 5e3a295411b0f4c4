"""How well a network does on sequences that it was not fitted on.

Owns the scoring of a held-out part. Every sequence is streamed cold, from zero state over all its
steps, and every target counts, those before the network can know anything too: this is what a
service will reproduce. A network here is any whose forward is that of `RecurrentNetwork`.
"""

from collections.abc import Iterator
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from training.data.sequences import Sequence
from training.objective import Objective, Score
from training.sampling import Batch, pad

# Sequences computed at a time: bounds the memory, and is wide enough for full speed.
_LANES = 256


def evaluate(network: nn.Module, objective: Objective, sequences: tuple[Sequence, ...]) -> Score:
    """Streams every sequence cold through the network and compares."""
    scores = [
        objective.score(values, batch).detached() for values, batch in stream(network, sequences)
    ]
    return reduce(add, scores)


def stream(network: nn.Module, sequences: tuple[Sequence, ...]) -> Iterator[tuple[Tensor, Batch]]:
    """Streams every sequence cold through the network.

    Yields:
        The head's values, (steps, lanes, outputs), with the batch that they belong to.
    """
    # Neighbours of like length share a batch, so that little of it is padding.
    ordered = sorted(sequences, key=len)
    for start in range(0, len(ordered), _LANES):
        batch = pad(ordered[start : start + _LANES])
        with torch.inference_mode():
            values, _ = network(batch.inputs)
        yield values, batch
