"""Random cases: inputs on the scale of the data, and the reference's answers to them.

Owns how a case is drawn and answered. Knows nothing of ONNX.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.reference import Network, forward

Floats = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]
Lengths = NDArray[np.int32]

# Steps that the reference computes at once: it keeps every value inside, for its backward pass.
_REFERENCE_STEPS = 50


@dataclass(frozen=True)
class Case:
    """What a batch of streams is fed.

    Attributes:
        inputs: (steps, batch, features).
        state: before the first step, (batch, state), layers side by side.
    """

    inputs: Floats
    state: Floats


@dataclass(frozen=True)
class Answer:
    """What a batch of streams gets; float32 from an engine, float64 from the reference.

    Attributes:
        outputs: (steps, batch, outputs).
        final_state: after the last step, (batch, state).
    """

    outputs: Numbers
    final_state: Numbers


def draw_case(network: Network, steps: int, batch: int, random: np.random.Generator) -> Case:
    """Draws inputs spread like the data that fitted the scaling, and states in (-1, 1)."""
    noise = random.normal(size=(steps, batch, network.features))
    state = random.uniform(-1, 1, size=(batch, len(network.layers) * network.hidden))
    inputs = network.input_mean + network.input_scale * noise
    return Case(inputs.astype(np.float32), state.astype(np.float32))


def answer(network: Network, case: Case) -> Answer:
    """The float64 reference's answer to exactly the float32 numbers of the case."""
    return _answer(network, case, _REFERENCE_STEPS, np.float64)


def rounded_answer(network: Network, case: Case) -> Answer:
    """The reference's answer where the state, and nothing else, is rounded after every step."""
    return _answer(network, case, 1, np.float32)


def _answer(
    network: Network, case: Case, steps: int, state_dtype: type[np.floating[Any]]
) -> Answer:
    """Runs the reference for some steps at once, and keeps the state between them in a dtype."""
    batch = case.state.shape[0]
    # (batch, layers * hidden) -> (layers, batch, hidden)
    state = case.state.astype(np.float64).reshape(batch, len(network.layers), -1).swapaxes(0, 1)
    outputs = []
    for start in range(0, len(case.inputs), steps):
        trace = forward(network, case.inputs[start : start + steps].astype(np.float64), state)
        outputs.append(trace.outputs)
        state = trace.final_state.astype(state_dtype).astype(np.float64)
    return Answer(np.concatenate(outputs), state.swapaxes(0, 1).reshape(batch, -1))
