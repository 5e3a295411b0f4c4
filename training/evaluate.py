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

# Sequences, and steps of all of them, computed at a time: bounds the memory, and is wide enough for
# full speed.
_LANES = 256
_MOST_STEPS = 65_536


def evaluate(network: nn.Module, objective: Objective, sequences: tuple[Sequence, ...]) -> Score:
    """Streams every sequence cold through the network and compares."""
    scores = [
        objective.score(values, batch).detached() for values, batch in stream(network, sequences)
    ]
    return reduce(add, scores)


def stream(network: nn.Module, sequences: tuple[Sequence, ...]) -> Iterator[tuple[Tensor, Batch]]:
    """Streams every sequence cold through the network, long ones chunk by chunk.

    Yields:
        The head's values, (steps, lanes, outputs), with the batch that they belong to, both where
        the network is.
    """
    device = next(network.parameters()).device
    # Neighbours of like length share a batch, so that little of it is padding.
    ordered = sorted(sequences, key=len)
    for start in range(0, len(ordered), _LANES):
        lanes, state, at = ordered[start : start + _LANES], None, 0
        while lanes:
            steps = max(1, _MOST_STEPS // len(lanes))
            batch = pad([lane.cut(at, at + steps) for lane in lanes]).to(device)
            with torch.inference_mode():
                values, state = network(batch.inputs, state)
            yield values, batch
            at += steps
            # The shorter come first: those that are left are the last ones.
            lanes = [lane for lane in lanes if len(lane) > at]
            state = state[:, state.shape[1] - len(lanes) :].contiguous()
