from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch

from training.convert import from_reference, to_torch_gru
from training.gru import GruLayer
from training.reference import Layer, Network, forward
from training.reference_backward import Gradients, backward

# Both sides are float64 and a few hundred operations long: what is left is rounding.
TOLERANCE = 1e-9
STEPS, BATCH = 5, 3


@pytest.fixture(params=[(n, form, bias) for n in (1, 2, 3) for form in (0, 1) for bias in (0, 1)])
def network(request, make_network) -> Network:
    layers, reset_after, bias = request.param
    return make_network(layers=layers, reset_after=bool(reset_after), bias=bool(bias))


class Case:
    """Random inputs, initial state and loss, L = sum(weights * logits)."""

    def __init__(self, network: Network) -> None:
        draw = np.random.default_rng(11)
        self.network = network
        self.inputs = draw.normal(size=(STEPS, BATCH, network.features))
        self.state = draw.normal(size=(len(network.layers), BATCH, network.hidden))
        self.d_logits = draw.normal(size=(STEPS, BATCH, network.outputs))

    def loss(self) -> float:
        return float((forward(self.network, self.inputs, self.state).logits * self.d_logits).sum())

    def gradients(self) -> Gradients:
        trace = forward(self.network, self.inputs, self.state)
        return backward(self.network, trace, self.d_logits)


def differences(loss: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """dL/d(array) by a five-point formula, whose own error is of the order 1e-12."""
    step, gradient = 1e-3, np.empty_like(array)
    for index in np.ndindex(array.shape):
        middle = array[index]
        values = []
        for offset in (-2, -1, 1, 2):
            array[index] = middle + offset * step
            values.append(loss())
        array[index] = middle
        gradient[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return gradient


def test_finite_differences(network: Network) -> None:
    case = Case(network)
    gradients = case.gradients()
    pairs = [
        (gradients.inputs, case.inputs),
        (gradients.state, case.state),
        (gradients.head_weight, network.head_weight),
        (gradients.head_bias, network.head_bias),
    ]
    for of_layer, layer in zip(gradients.layers, network.layers, strict=True):
        pairs += [(getattr(of_layer, f.name), getattr(layer, f.name)) for f in fields(Layer)]
    for gradient, array in pairs:
        expected = differences(case.loss, array)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=TOLERANCE)


def test_autograd_of_the_step_loop(network: Network) -> None:
    case = Case(network)
    gradients = case.gradients()
    module = from_reference(network)
    inputs = torch.from_numpy(case.inputs).requires_grad_()
    state = torch.from_numpy(case.state).requires_grad_()
    logits, _ = module(inputs, state)
    (logits * torch.from_numpy(case.d_logits)).sum().backward()

    def close(ours: np.ndarray, theirs: torch.Tensor | None) -> None:
        assert theirs is not None
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=TOLERANCE)

    close(gradients.inputs, inputs.grad)
    close(gradients.state, state.grad)
    close(gradients.head_weight, module.head.weight.grad)
    close(gradients.head_bias, module.head.bias.grad)
    layers = [layer for layer in module.modules() if isinstance(layer, GruLayer)]
    for ours, layer in zip(gradients.layers, layers, strict=True):
        close(np.concatenate([ours.w_z, ours.w_r, ours.w_c]), layer.input_weight.grad)
        close(np.concatenate([ours.u_z, ours.u_r]), layer.gate_weight.grad)
        close(ours.u_c, layer.candidate_weight.grad)
        if layer.bias is not None:
            close(np.concatenate([ours.b_z, ours.b_r, ours.b_c]), layer.bias.grad)
        if layer.candidate_bias is not None:
            close(ours.d_c, layer.candidate_bias.grad)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_autograd_of_torchs_own_gru(make_network, layers: int, bias: bool) -> None:
    network = make_network(layers=layers, bias=bias, reset_after=True)
    case = Case(network)
    gradients = case.gradients()
    gru = to_torch_gru(network.layers, bias=bias)
    inputs = torch.from_numpy(case.inputs).requires_grad_()
    state = torch.from_numpy(case.state).requires_grad_()
    mean, scale = torch.from_numpy(network.input_mean), torch.from_numpy(network.input_scale)
    states, _ = gru((inputs - mean) / scale, state)
    (states * torch.from_numpy(case.d_logits @ network.head_weight)).sum().backward()

    np.testing.assert_allclose(gradients.inputs, inputs.grad, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(gradients.state, state.grad, rtol=0, atol=TOLERANCE)
    for index, layer in enumerate(gradients.layers):
        stacked = {
            "weight_ih": np.concatenate([layer.w_r, layer.w_z, layer.w_c]),
            "weight_hh": np.concatenate([layer.u_r, layer.u_z, layer.u_c]),
        }
        if bias:
            stacked["bias_ih"] = np.concatenate([layer.b_r, layer.b_z, layer.b_c])
            stacked["bias_hh"] = np.concatenate([layer.b_r, layer.b_z, layer.d_c])
        for name, ours in stacked.items():
            theirs = getattr(gru, f"{name}_l{index}").grad
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_two_chunks_chained_by_the_state_are_the_whole(network: Network) -> None:
    case = Case(network)
    whole = case.gradients()
    first = forward(network, case.inputs[:2], case.state)
    second = forward(network, case.inputs[2:], first.final_state)
    late = backward(network, second, case.d_logits[2:])
    early = backward(network, first, case.d_logits[:2], d_final_state=late.state)

    np.testing.assert_allclose(early.state, whole.state, atol=1e-12)
    inputs = np.concatenate([early.inputs, late.inputs])
    np.testing.assert_allclose(inputs, whole.inputs, atol=1e-12)
    for a, b, both in zip(early.layers, late.layers, whole.layers, strict=True):
        for f in fields(Layer):
            summed = getattr(a, f.name) + getattr(b, f.name)
            np.testing.assert_allclose(summed, getattr(both, f.name), atol=1e-12)


def test_wrong_shapes_are_named(make_network) -> None:
    network = make_network()
    trace = forward(network, np.zeros((4, 1, 2)))
    with pytest.raises(ValueError, match=r"d_logits has shape \(4, 2\).*\(4, 1, 2\)"):
        backward(network, trace, np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"d_final_state has shape \(1, 3\)"):
        backward(network, trace, np.zeros((4, 1, 2)), np.zeros((1, 3)))
