"""The gradient of the float64 reference: back-propagation through time, derived by hand.

Owns the backward pass of `reference.forward`. Imports numpy alone, and knows nothing of losses: it
begins at the gradient of the summed loss with respect to the head's values.

With dh_t = dL_t/dh_t + (what flows back from step t+1), for h_t = z h_{t-1} + (1 - z) c:

    da_c = dh (1 - z) (1 - c^2)               through the candidate's tanh
    da_z = dh (h_{t-1} - c) z (1 - z)         through the update gate's sigmoid

    reset-before                                 reset-after, with q = h_{t-1} U_c^T + d_c
    c = tanh(.. + (r h_{t-1}) U_c^T)             c = tanh(.. + r q)
    d(rh) = da_c U_c                             dq = da_c r
    da_r = d(rh) h_{t-1} r (1 - r)               da_r = da_c q r (1 - r)
    dh_{t-1} = dh z + d(rh) r                    dh_{t-1} = dh z + dq U_c
               + da_z U_z + da_r U_r                        + da_z U_z + da_r U_r

Each weight's gradient is a sum over steps, and so one matrix product over (steps * batch).
"""

from dataclasses import dataclass

import numpy as np

from training.reference import Array, Layer, LayerTrace, Network, Trace


@dataclass(frozen=True)
class Gradients:
    """Gradient of the summed loss with respect to everything that the forward pass reads.

    Attributes:
        layers: one Layer of gradients for each layer, bottom first. Those of the biases are the
            derivatives at zero where the network has none.
        head_weight: (outputs, hidden).
        head_bias: (outputs,).
        inputs: with respect to the unscaled inputs, (steps, batch, features).
        state: with respect to the state before the first step, (layers, batch, hidden).
    """

    layers: tuple[Layer, ...]
    head_weight: Array
    head_bias: Array
    inputs: Array
    state: Array


@dataclass(frozen=True)
class _AtGates:
    """Gradients at each step's pre-activations; every array (steps, batch, hidden).

    `recurrent` is the gradient at the candidate's recurrent product: da_c in the reset-before form,
    dq in the reset-after form.
    """

    a_z: Array
    a_r: Array
    a_c: Array
    recurrent: Array


def backward(
    network: Network, trace: Trace, d_logits: Array, d_final_state: Array | None = None
) -> Gradients:
    """Back-propagates through every step of a forward pass.

    Args:
        network: the weights that `trace` was computed with.
        trace: the forward pass.
        d_logits: gradient of the summed loss with respect to the logits, (steps, batch, outputs).
        d_final_state: what flows back from steps after the last one, (layers, batch, hidden);
            None is zeros.

    Returns:
        All gradients.

    Raises:
        ValueError: a gradient's shape is not that of the value it belongs to.
    """
    if d_final_state is None:
        d_final_state = np.zeros_like(trace.final_state)
    _check_like("d_logits", d_logits, trace.logits)
    _check_like("d_final_state", d_final_state, trace.final_state)

    d_below = d_logits @ network.head_weight
    layers: list[Layer] = []
    d_state = np.empty_like(trace.final_state)
    for index in reversed(range(len(network.layers))):
        layer, layer_trace = network.layers[index], trace.layers[index]
        at_gates, d_state[index] = _through_time(
            layer, layer_trace, d_below, d_final_state[index], network.reset_after
        )
        layers.insert(0, _weight_gradients(layer_trace, at_gates, network.reset_after))
        d_below = at_gates.a_z @ layer.w_z + at_gates.a_r @ layer.w_r + at_gates.a_c @ layer.w_c
    return Gradients(
        layers=tuple(layers),
        head_weight=_summed_product(d_logits, trace.layers[-1].states[1:]),
        head_bias=d_logits.sum(axis=(0, 1)),
        inputs=d_below / network.input_scale,
        state=d_state,
    )


def _through_time(
    layer: Layer, trace: LayerTrace, d_outputs: Array, d_final: Array, reset_after: bool
) -> tuple[_AtGates, Array]:
    """Walks one layer from the last step to the first.

    Args:
        layer: its weights.
        trace: its forward pass.
        d_outputs: gradient from above at each step's state, (steps, batch, hidden).
        d_final: gradient from later steps at the final state, (batch, hidden).
        reset_after: the cell form.

    Returns:
        The gradients at the gates, and the gradient at the initial state, (batch, hidden).
    """
    a_z, a_r, a_c, recurrent = np.empty((4, *d_outputs.shape))
    dh = d_final
    for t in reversed(range(len(d_outputs))):
        h, z, r, c, q = trace.states[t], trace.z[t], trace.r[t], trace.c[t], trace.q[t]
        dh = dh + d_outputs[t]
        a_c[t] = dh * (1 - z) * (1 - c**2)
        a_z[t] = dh * (h - c) * z * (1 - z)
        if reset_after:
            recurrent[t] = a_c[t] * r
            a_r[t] = a_c[t] * q * r * (1 - r)
            through_candidate = recurrent[t] @ layer.u_c
        else:
            recurrent[t] = a_c[t]
            d_rh = recurrent[t] @ layer.u_c
            a_r[t] = d_rh * h * r * (1 - r)
            through_candidate = d_rh * r
        dh = dh * z + through_candidate + a_z[t] @ layer.u_z + a_r[t] @ layer.u_r
    return _AtGates(a_z=a_z, a_r=a_r, a_c=a_c, recurrent=recurrent), dh


def _weight_gradients(trace: LayerTrace, d: _AtGates, reset_after: bool) -> Layer:
    """Sums one layer's gradients over steps and batch."""
    before = trace.states[:-1]
    d_recurrent_bias = d.recurrent.sum(axis=(0, 1))
    return Layer(
        w_z=_summed_product(d.a_z, trace.inputs),
        w_r=_summed_product(d.a_r, trace.inputs),
        w_c=_summed_product(d.a_c, trace.inputs),
        u_z=_summed_product(d.a_z, before),
        u_r=_summed_product(d.a_r, before),
        u_c=_summed_product(d.recurrent, before if reset_after else trace.r * before),
        b_z=d.a_z.sum(axis=(0, 1)),
        b_r=d.a_r.sum(axis=(0, 1)),
        b_c=d.a_c.sum(axis=(0, 1)),
        d_c=d_recurrent_bias if reset_after else np.zeros_like(d_recurrent_bias),
    )


def _summed_product(d: Array, values: Array) -> Array:
    """sum_t d_t^T values_t: (steps, batch, m) and (steps, batch, n) give (m, n)."""
    return np.tensordot(d, values, axes=([0, 1], [0, 1]))


def _check_like(name: str, gradient: Array, value: Array) -> None:
    if gradient.shape != value.shape:
        raise ValueError(f"{name} has shape {gradient.shape}; the forward pass has {value.shape}")
