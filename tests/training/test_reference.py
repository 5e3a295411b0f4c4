import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.reference import Layer, Network, forward, sigmoid, softmax


def scalar_network(reset_after: bool) -> Network:
    """One feature, one unit, one output; the head passes the state on."""
    one = np.ones((1, 1))
    layer = Layer(
        w_z=0.5 * one,
        w_r=-0.4 * one,
        w_c=0.9 * one,
        u_z=0.3 * one,
        u_r=0.8 * one,
        u_c=-1.1 * one,
        b_z=np.array([0.1]),
        b_r=np.array([-0.2]),
        b_c=np.array([0.05]),
        d_c=np.array([0.7 if reset_after else 0.0]),
    )
    return Network(
        layers=(layer,),
        reset_after=reset_after,
        bias=True,
        input_mean=np.array([2.0]),
        input_scale=np.array([4.0]),
        head_weight=one,
        head_bias=np.array([0.0]),
        activation="identity",
        output_mean=np.array([10.0]),
        output_scale=np.array([3.0]),
    )


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


@pytest.mark.parametrize("reset_after", [False, True])
def test_one_step_by_hand(reset_after: bool) -> None:
    h, x = 0.6, (5.0 - 2.0) / 4.0
    z = logistic(0.5 * x + 0.3 * h + 0.1)
    r = logistic(-0.4 * x + 0.8 * h - 0.2)
    recurrent = r * (-1.1 * h + 0.7) if reset_after else -1.1 * (r * h)
    c = math.tanh(0.9 * x + recurrent + 0.05)
    after = z * h + (1 - z) * c

    trace = forward(scalar_network(reset_after), np.array([[[5.0]]]), np.array([[[h]]]))

    assert trace.final_state.item() == pytest.approx(after, abs=1e-15)
    assert trace.logits.item() == pytest.approx(after, abs=1e-15)
    assert trace.outputs.item() == pytest.approx(after * 3.0 + 10.0, abs=1e-14)


def test_the_two_cell_forms_differ(make_network) -> None:
    network = make_network()
    inputs = np.random.default_rng(1).normal(size=(5, 2, 2))
    other = forward(replace(network, reset_after=True), inputs)
    assert np.abs(forward(network, inputs).outputs - other.outputs).max() > 1e-3


def test_no_state_is_zeros(make_network) -> None:
    network = make_network(layers=2)
    inputs = np.random.default_rng(1).normal(size=(5, 4, 2))
    cold = forward(network, inputs)
    assert np.array_equal(cold.outputs, forward(network, inputs, np.zeros((2, 4, 3))).outputs)
    assert cold.outputs.shape == (5, 4, 2)
    assert cold.final_state.shape == (2, 4, 3)


@given(seed=st.integers(0, 2**32), cut=st.integers(0, 9), reset_after=st.booleans())
def test_chunks_with_the_state_handed_on_are_the_whole(seed, cut, reset_after) -> None:
    network = scalar_network(reset_after)
    draw = np.random.default_rng(seed)
    inputs, state = draw.normal(size=(9, 3, 1)), draw.normal(size=(1, 3, 1))
    whole = forward(network, inputs, state)
    first = forward(network, inputs[:cut], state)
    second = forward(network, inputs[cut:], first.final_state)
    np.testing.assert_array_equal(np.concatenate([first.outputs, second.outputs]), whole.outputs)
    np.testing.assert_array_equal(second.final_state, whole.final_state)


def test_sequences_of_a_batch_do_not_meet(make_network) -> None:
    network = make_network(layers=2, reset_after=True)
    draw = np.random.default_rng(4)
    inputs, state = draw.normal(size=(6, 5, 2)), draw.normal(size=(2, 5, 3))
    together = forward(network, inputs, state)
    for lane in range(5):
        alone = forward(network, inputs[:, lane : lane + 1], state[:, lane : lane + 1])
        np.testing.assert_allclose(alone.outputs[:, 0], together.outputs[:, lane], atol=1e-14)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("identity", lambda network, logits: logits * network.output_scale + network.output_mean),
        ("sigmoid", lambda network, logits: 1 / (1 + np.exp(-logits))),
        ("softmax", lambda network, logits: np.exp(logits) / np.exp(logits).sum(-1)[..., None]),
    ],
)
def test_activations(make_network, activation, expected) -> None:
    network = make_network(activation=activation)
    trace = forward(network, np.random.default_rng(2).normal(size=(4, 3, 2)))
    np.testing.assert_allclose(trace.outputs, expected(network, trace.logits), atol=1e-14)


def test_extreme_values_neither_overflow_nor_lose_digits() -> None:
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]
    assert sigmoid(np.array([-40.0])).item() == pytest.approx(math.exp(-40), rel=1e-15)
    assert softmax(np.array([1000.0, -1000.0, 1000.0])).tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize(
    ("inputs", "state", "named"),
    [
        (np.zeros((4, 1, 3)), None, r"inputs has shape \(4, 1, 3\).*\(any, any, 2\)"),
        (np.zeros((4, 2)), None, r"inputs has shape \(4, 2\)"),
        (np.zeros((4, 1, 2)), np.zeros((1, 2, 3)), r"state has shape \(1, 2, 3\).*\(1, 1, 3\)"),
    ],
)
def test_wrong_shapes_are_named(make_network, inputs, state, named) -> None:
    with pytest.raises(ValueError, match=named):
        forward(make_network(), inputs, state)
