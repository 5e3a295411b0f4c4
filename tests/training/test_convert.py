import numpy as np
import pytest
import torch

from training.convert import from_reference, from_torch_gru, to_reference, to_torch_gru
from training.network import RecurrentNetwork, Shape, initialise
from training.reference import Network, forward


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_the_reference_computes_what_torchs_gru_computes(layers: int, bias: bool) -> None:
    torch.manual_seed(layers)
    gru = torch.nn.GRU(2, 4, layers, bias=bias, dtype=torch.float64)
    network = Network(
        layers=from_torch_gru(gru),
        reset_after=True,
        bias=bias,
        input_mean=np.zeros(2),
        input_scale=np.ones(2),
        head_weight=np.eye(4),
        head_bias=np.zeros(4),
        activation="identity",
        output_mean=np.zeros(4),
        output_scale=np.ones(4),
    )
    draw = np.random.default_rng(1)
    inputs, state = draw.normal(size=(7, 3, 2)), draw.normal(size=(layers, 3, 4))
    with torch.no_grad():
        states, final = gru(torch.from_numpy(inputs), torch.from_numpy(state))
    trace = forward(network, inputs, state)
    np.testing.assert_allclose(trace.outputs, states, atol=1e-12)
    np.testing.assert_allclose(trace.final_state, final, atol=1e-12)


def test_to_torch_and_back_keeps_every_weight(make_network) -> None:
    layers = make_network(layers=2, reset_after=True, hidden=4).layers
    for before, after in zip(layers, from_torch_gru(to_torch_gru(layers, bias=True)), strict=True):
        for name, weights in vars(before).items():
            np.testing.assert_array_equal(getattr(after, name), weights, err_msg=name)


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_to_the_trainable_network_and_back(make_network, reset_after: bool, bias: bool) -> None:
    network = make_network(layers=2, reset_after=reset_after, bias=bias)
    back = to_reference(from_reference(network), "softmax")
    assert (back.reset_after, back.bias) == (reset_after, bias)
    for before, after in zip(network.layers, back.layers, strict=True):
        for name, weights in vars(before).items():
            np.testing.assert_array_equal(getattr(after, name), weights, err_msg=name)
    for name in ("input_mean", "input_scale", "head_weight", "head_bias"):
        np.testing.assert_array_equal(getattr(back, name), getattr(network, name), err_msg=name)


def test_float32_weights_are_copied_exactly() -> None:
    network = RecurrentNetwork(Shape(2, 3, 4, 1, reset_after=True, bias=True))
    initialise(network, torch.Generator().manual_seed(1))
    reference = to_reference(network, "softmax")
    assert reference.head_weight.dtype == np.float64
    assert np.array_equal(reference.head_weight.astype(np.float32), network.head.weight.detach())
