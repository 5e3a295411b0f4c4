"""The float64 reference of the network: its weights and its forward pass over whole sequences.

Owns the mathematics, written to be read and to be trusted; everything faster is tested against it.
The gradient is in `reference_backward`. Imports numpy alone, and knows nothing of torch, files or
configurations.

Equations: Cho et al. 2014, arXiv 1406.1078, which is the reset-before form; the reset-after form is
the one of PyTorch and cuDNN (ONNX `linear_before_reset = 1`). A single letter is that of the
equations: x input, h state, z update gate, r reset gate, c candidate.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Activation = Literal["identity", "softmax", "sigmoid"]


@dataclass(frozen=True)
class Layer:
    """Weights of one recurrent layer.

    Attributes:
        w_z, w_r, w_c: input weights of update gate, reset gate and candidate, (hidden, input).
        u_z, u_r, u_c: recurrent weights, (hidden, hidden).
        b_z, b_r, b_c: biases, (hidden,); zeros in a network without bias.
        d_c: the candidate's recurrent bias, (hidden,), inside the reset gate's product; used by
            the reset-after form only, zeros otherwise.
    """

    w_z: Array
    w_r: Array
    w_c: Array
    u_z: Array
    u_r: Array
    u_c: Array
    b_z: Array
    b_r: Array
    b_c: Array
    d_c: Array


@dataclass(frozen=True)
class Network:
    """Stacked recurrent layers between input scaling and an output head.

    The network computes `activation(head(gru((x - input_mean) / input_scale)))`, and for the
    identity activation then `* output_scale + output_mean`, back in the target's own unit.

    Attributes:
        layers: bottom first.
        reset_after: the cell form; False is reset-before, the form of Cho et al. 2014.
        bias: whether the recurrent layers have biases.
        input_mean, input_scale: (features,).
        head_weight: (outputs, hidden).
        head_bias: (outputs,).
        activation: of the head.
        output_mean, output_scale: (outputs,); 0 and 1 unless the activation is the identity.
    """

    layers: tuple[Layer, ...]
    reset_after: bool
    bias: bool
    input_mean: Array
    input_scale: Array
    head_weight: Array
    head_bias: Array
    activation: Activation
    output_mean: Array
    output_scale: Array

    @property
    def features(self) -> int:
        """Width of an input step."""
        return int(self.input_mean.shape[0])

    @property
    def hidden(self) -> int:
        """Width of a layer's state."""
        return int(self.layers[0].u_z.shape[0])

    @property
    def outputs(self) -> int:
        """Width of an output step."""
        return int(self.head_bias.shape[0])


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed, kept for the backward pass.

    Attributes:
        inputs: x, (steps, batch, input).
        states: h before the first step and after each one, (steps + 1, batch, hidden).
        z, r, c: update gate, reset gate and candidate, (steps, batch, hidden).
        q: the candidate's recurrent term h U_c^T + d_c of the reset-after form, which the reset
            gate multiplies, (steps, batch, hidden); zeros in the reset-before form.
    """

    inputs: Array
    states: Array
    z: Array
    r: Array
    c: Array
    q: Array


@dataclass(frozen=True)
class Trace:
    """The result of a forward pass, with what its backward pass needs.

    Attributes:
        layers: bottom first.
        logits: the head's values before activation and output scaling, (steps, batch, outputs).
        outputs: what the network answers, (steps, batch, outputs).
        final_state: the state after the last step, (layers, batch, hidden).
    """

    layers: tuple[LayerTrace, ...]
    logits: Array
    outputs: Array
    final_state: Array


def forward(network: Network, inputs: Array, state: Array | None = None) -> Trace:
    """Computes every step of a batch of sequences.

    Args:
        network: the weights.
        inputs: unscaled input steps, (steps, batch, features).
        state: the state before the first step, (layers, batch, hidden); None is zeros.

    Returns:
        Outputs, final state, and the values inside.

    Raises:
        ValueError: a shape does not fit the network.
    """
    _check_shape("inputs", inputs, (None, None, network.features))
    state_shape = (len(network.layers), inputs.shape[1], network.hidden)
    if state is None:
        state = np.zeros(state_shape)
    _check_shape("state", state, state_shape)

    below = (inputs - network.input_mean) / network.input_scale
    traces = []
    for layer, initial in zip(network.layers, state, strict=True):
        trace = _run_layer(layer, below, initial, network.reset_after)
        traces.append(trace)
        below = trace.states[1:]
    logits = below @ network.head_weight.T + network.head_bias
    return Trace(
        layers=tuple(traces),
        logits=logits,
        outputs=activate(network, logits),
        final_state=np.stack([trace.states[-1] for trace in traces]),
    )


def activate(network: Network, logits: Array) -> Array:
    """Turns the head's values into the network's answer; any shape (..., outputs)."""
    if network.activation == "softmax":
        return softmax(logits)
    if network.activation == "sigmoid":
        return sigmoid(logits)
    return logits * network.output_scale + network.output_mean


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow and exact to the last digits at both ends."""
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, decay) / (1.0 + decay)


def softmax(x: Array) -> Array:
    """Probabilities over the last axis; shifted by the largest value, so that nothing overflows."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _run_layer(layer: Layer, inputs: Array, initial: Array, reset_after: bool) -> LayerTrace:
    """One layer over all steps; inputs (steps, batch, input), initial (batch, hidden)."""
    steps, batch, hidden = inputs.shape[0], *initial.shape
    states = np.empty((steps + 1, batch, hidden))
    states[0] = initial
    z, r, c, q = np.zeros((4, steps, batch, hidden))
    for t, x in enumerate(inputs):
        h = states[t]
        z[t] = sigmoid(x @ layer.w_z.T + h @ layer.u_z.T + layer.b_z)
        r[t] = sigmoid(x @ layer.w_r.T + h @ layer.u_r.T + layer.b_r)
        if reset_after:
            q[t] = h @ layer.u_c.T + layer.d_c
            recurrent = r[t] * q[t]
        else:
            recurrent = (r[t] * h) @ layer.u_c.T
        c[t] = np.tanh(x @ layer.w_c.T + recurrent + layer.b_c)
        states[t + 1] = z[t] * h + (1.0 - z[t]) * c[t]
    return LayerTrace(inputs=inputs, states=states, z=z, r=r, c=c, q=q)


def _check_shape(name: str, array: Array, wanted: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(wanted) and all(
        size is None or size == actual for size, actual in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in wanted)
        raise ValueError(f"{name} has shape {array.shape}; this network needs ({sizes})")
