"""What rounding to 8-bit integers costs a network, and how far an engine may be off with it.

Owns a float64 twin that rounds where the int8 graph does, and the tolerances that follow from it.
Knows nothing of graphs and engines.
"""

from collections.abc import Sequence

import numpy as np

from export.cases import Answer, Case
from export.int8 import STATE_SCALE, keep
from export.tolerances import Tolerances
from training.reference import Array, Layer, Network, activate, sigmoid

# An engine rounds as the twin does, but for values so near the middle of two steps that float32's
# own rounding decides: over networks of many sizes it was at most 1.3 times as far off.
HEADROOM = 2
# As shares of a value's range: below the first, nothing can be told; what is further off than the
# second is another network. Random inputs keep a trained classifier at the edge between classes:
# one was off by 0.15 in the worst of 539,000 probabilities, and changed one decision in 14,630 on
# recordings that it had not seen.
FLOOR, LIMIT = 1e-5, 0.25


def measure_tolerances(network: Network, answered: Sequence[tuple[Case, Answer]]) -> Tolerances:
    """The tolerances for an engine that computes products of states in int8.

    Args:
        network: as it was trained.
        answered: cases with the reference's answers; the most sensitive of them counts.
    """
    outputs, states, ranges = [], [], []
    for case, expected in answered:
        twin = rounded_answer(network, case)
        outputs.append(np.abs(twin.outputs - expected.outputs).max(axis=(0, 1)))
        states.append(np.abs(twin.final_state - expected.final_state).max(keepdims=True))
        ranges.append(_ranges(network, expected))
    widest = np.max(ranges, axis=0)
    return Tolerances(
        outputs=_between(np.max(outputs, axis=0), widest),
        state=float(_between(np.max(states, axis=0), np.ones(1)).max()),
    )


def rounded_answer(network: Network, case: Case) -> Answer:
    """The twin's answer to a case."""
    kept = keep(network)
    below = (case.inputs.astype(np.float64) - kept.input_mean) / kept.input_scale
    states = np.split(case.state.astype(np.float64), len(kept.layers), axis=1)
    final = []
    for index, (layer, state) in enumerate(zip(kept.layers, states, strict=True)):
        below = _run_layer(layer, below if index == 0 else _round(below), state, kept.reset_after)
        final.append(below[-1])
    logits = below @ kept.head_weight.T + kept.head_bias
    return Answer(activate(kept, logits), np.concatenate(final, axis=1))


def _run_layer(layer: Layer, inputs: Array, state: Array, reset_after: bool) -> Array:
    """The states after each step, (steps, batch, hidden), with every factor of a weight rounded."""
    states = np.empty((len(inputs), *state.shape))
    for step, x in enumerate(inputs):
        h = _round(state)
        z = sigmoid(x @ layer.w_z.T + h @ layer.u_z.T + layer.b_z)
        r = sigmoid(x @ layer.w_r.T + h @ layer.u_r.T + layer.b_r)
        if reset_after:
            recurrent = r * (h @ layer.u_c.T + layer.d_c)
        else:
            recurrent = _round(r * state) @ layer.u_c.T
        c = np.tanh(x @ layer.w_c.T + recurrent + layer.b_c)
        state = z * state + (1.0 - z) * c
        states[step] = state
    return states


def _round(state: Array) -> Array:
    """To the nearest value that uint8 stands for."""
    scale = float(STATE_SCALE)
    return np.clip(np.rint(state / scale), -128, 127) * scale


def _ranges(network: Network, expected: Answer) -> Array:
    """How far each output goes from its middle, (outputs,)."""
    if network.activation != "identity":
        return np.ones(network.outputs)
    return np.asarray(np.abs(expected.outputs - network.output_mean).max(axis=(0, 1)))


def _between(noise: Array, ranges: Array) -> Array:
    bounded = np.fmin(np.fmax(HEADROOM * noise, FLOOR * ranges), LIMIT * ranges)
    # A channel that is zero for ever still needs a tolerance above zero to divide by.
    return np.asarray(np.maximum(bounded, np.finfo(np.float32).tiny))
