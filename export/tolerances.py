"""How far a float32 engine may stand from the float64 reference.

Owns the numbers and their reasons. Knows nothing of engines.

A network can amplify rounding: one that was trained to switch between classes differed from the
reference by 1e-5 where one with random weights differed by 1e-7. So the tolerance of a network is
measured, as the distance between the reference and its twin that rounds the state, and nothing
else, to float32 after every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.cases import Answer, Case, rounded_answer
from training.reference import Array, Network

# An engine also rounds inside a step, in its own order: over networks of many sizes and gains it
# was 2 to 20 times as far from the reference as the twin. Products in TF32, which are refused,
# round 8,000 times as coarsely as float32.
HEADROOM = 100
# As a share of a value's range. Below it nothing can be told: one step already differs by 2e-7.
FLOOR = 1e-5
# A network that is further off than this through rounding alone is chaotic: of what it answers in
# float32 nothing can be proven.
CEILING = 1e-3


@dataclass(frozen=True)
class Tolerances:
    """Largest absolute errors.

    Attributes:
        outputs: one a channel, (outputs,).
        state: of any state value.
    """

    outputs: Array
    state: float

    @property
    def largest(self) -> float:
        """One bound for all values."""
        return max(self.state, float(self.outputs.max()))


def measure_tolerances(network: Network, answered: Sequence[tuple[Case, Answer]]) -> Tolerances:
    """The tolerances for an engine that computes in float32.

    Args:
        network: for the twin.
        answered: cases with the reference's answers; the most sensitive of them counts.
    """
    ranges = output_ranges(network)
    noise = max(_noise(network, case, expected, ranges) for case, expected in answered)
    share = float(np.fmin(np.fmax(HEADROOM * noise, FLOOR), CEILING))
    return Tolerances(share * ranges, share)


def _noise(network: Network, case: Case, expected: Answer, ranges: Array) -> float:
    """How far the twin is off, as a share of a value's range."""
    twin = rounded_answer(network, case)
    outputs = np.abs(twin.outputs - expected.outputs) / ranges
    states = np.abs(twin.final_state - expected.final_state)
    return float(max(outputs.max(), states.max()))


def output_ranges(network: Network) -> Array:
    """The largest absolute value that each output can take, as |h| <= 1; (outputs,)."""
    if network.activation != "identity":
        return np.ones(network.outputs)
    logits = np.abs(network.head_weight).sum(axis=1) + np.abs(network.head_bias)
    ranges = np.abs(network.output_scale) * logits + np.abs(network.output_mean)
    # A channel that is zero for ever still needs a tolerance above zero to divide by.
    return np.asarray(np.maximum(ranges, np.finfo(np.float32).tiny))
