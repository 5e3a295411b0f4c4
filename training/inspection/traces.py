"""What a network computed inside, over real steps, by the float64 reference.

Owns which steps are looked at, and from which sequence each comes.
"""

from dataclasses import dataclass

import numpy as np

from training.data.sequences import Sequence
from training.reference import Array, Network, forward
from training.sampling import pad

# Steps that are looked at: more would change no share by much.
MOST_STEPS = 20_000
_LANES = 64


@dataclass(frozen=True)
class LayerSteps:
    """One layer at real steps, side by side.

    Attributes:
        inputs: x, (steps, input).
        before: h_{t-1}, (steps, hidden).
        z, r, c: update gate, reset gate and candidate, (steps, hidden).
    """

    inputs: Array
    before: Array
    z: Array
    r: Array
    c: Array


@dataclass(frozen=True)
class RealSteps:
    """All layers at the same real steps.

    Attributes:
        layers: bottom first.
        places: of each step, such as "'walk 3' step 17", counted from 0 in its part.
    """

    layers: tuple[LayerSteps, ...]
    places: tuple[str, ...]

    def draw(self, count: int, seed: int) -> "RealSteps":
        """A random choice of steps, each at most once."""
        total = len(self.places)
        chosen = np.sort(np.random.default_rng(seed).permutation(total)[:count])
        layers = (
            LayerSteps(*(values[chosen] for values in vars(layer).values()))
            for layer in self.layers
        )
        return RealSteps(tuple(layers), tuple(self.places[step] for step in chosen))


def trace_steps(network: Network, sequences: tuple[Sequence, ...], seed: int) -> RealSteps:
    """Streams sequences cold, in random order until there are steps enough."""
    chosen = _choose(sequences, seed)
    groups = [chosen[start : start + _LANES] for start in range(0, len(chosen), _LANES)]
    traced = [_trace(network, group) for group in groups]
    layers = (
        LayerSteps(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        for parts in zip(*traced, strict=True)
    )
    places = [
        f"'{sequence.entity}' step {step}" for sequence in chosen for step in range(len(sequence))
    ]
    return RealSteps(tuple(layers), tuple(places))


def _choose(sequences: tuple[Sequence, ...], seed: int) -> list[Sequence]:
    chosen, left = [], MOST_STEPS
    for index in np.random.default_rng(seed).permutation(len(sequences)):
        if left > 0:
            chosen.append(sequences[index].cut(0, left))
            left -= len(chosen[-1])
    # Neighbours of like length share a batch, so that little of it is padding.
    return sorted(chosen, key=len)


def _trace(network: Network, sequences: list[Sequence]) -> list[tuple[Array, ...]]:
    """Inputs, states before, z, r and c of each layer, (real steps, width) each."""
    batch = pad(sequences)
    # Sequence by sequence, (lanes, steps)
    real = batch.real.numpy().T
    trace = forward(network, batch.inputs.double().numpy())
    return [
        tuple(
            values.swapaxes(0, 1)[real]
            for values in (layer.inputs, layer.states[:-1], layer.z, layer.r, layer.c)
        )
        for layer in trace.layers
    ]
