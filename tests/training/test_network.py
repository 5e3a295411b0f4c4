import numpy as np
import pytest
import torch

from training.convert import from_reference
from training.gru import GruLayer
from training.network import RecurrentNetwork, Shape, initialise
from training.reference import forward

# float32 against float64 over a dozen steps of values near 1.
FLOAT32_TOLERANCE = 1e-5


def fresh(seed: int, *, reset_after: bool = False, bias: bool = True) -> RecurrentNetwork:
    network = RecurrentNetwork(Shape(3, 2, 8, 2, reset_after=reset_after, bias=bias))
    initialise(network, torch.Generator().manual_seed(seed))
    return network


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_float32_stays_near_the_reference(make_network, reset_after: bool, layers: int) -> None:
    reference = make_network(layers=layers, reset_after=reset_after)
    draw = np.random.default_rng(6)
    inputs, state = draw.normal(size=(12, 5, 2)), draw.normal(size=(layers, 5, 3))
    network = from_reference(reference).float()
    with torch.no_grad():
        logits, final = network(torch.tensor(inputs).float(), torch.tensor(state).float())
    trace = forward(reference, inputs, state)
    np.testing.assert_allclose(logits, trace.logits, atol=FLOAT32_TOLERANCE)
    np.testing.assert_allclose(final, trace.final_state, atol=FLOAT32_TOLERANCE)


def test_a_seed_decides_every_weight() -> None:
    first, same, other = fresh(1), fresh(1), fresh(2)
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, same.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_first_weights_remember(reset_after: bool) -> None:
    network = fresh(1, reset_after=reset_after)
    for layer in (module for module in network.modules() if isinstance(module, GruLayer)):
        for gate in (*layer.gate_weight.detach().chunk(2), layer.candidate_weight.detach()):
            torch.testing.assert_close(gate @ gate.T, torch.eye(8))
        assert layer.bias is not None
        update, reset, candidate = layer.bias.detach().chunk(3)
        assert torch.all(update > 0)
        assert not torch.any(reset)
        assert not torch.any(candidate)


def test_without_bias_there_is_none() -> None:
    names = fresh(1, reset_after=True, bias=False).state_dict()
    assert [name for name in names if "bias" in name] == ["head.bias"]
