"""Errors followed back by autograd are those of the hand-derived backward pass."""

import numpy as np
import pytest
import torch

from training.convert import to_reference
from training.data.sequences import Sequence
from training.inspection.lags import LagNorms, Pair, draw_pairs, fitting_lags, measure_lags
from training.inspection.peers import PEER_KINDS, PeerNetwork, make_peer, next_state, zero_state
from training.network import RecurrentNetwork, Shape, initialise
from training.objective import ClassObjective
from training.reference import forward, softmax
from training.reference_backward import backward


def make(*, reset_after: bool = False, layers: int = 1) -> RecurrentNetwork:
    shape = Shape(
        features=2, outputs=3, hidden=4, layers=layers, reset_after=reset_after, bias=True
    )
    network = RecurrentNetwork(shape)
    initialise(network, torch.Generator().manual_seed(2))
    network.input_mean.fill_(0.3)
    return network


@pytest.fixture
def sequences() -> tuple[Sequence, ...]:
    draw = np.random.default_rng(8)
    return tuple(
        Sequence(
            entity=f"s{steps}",
            order=np.arange(steps),
            features=draw.normal(size=(steps, 2)).astype(np.float32),
            targets=draw.integers(3, size=steps),
        )
        for steps in (9, 14, 20)
    )


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_norms_are_those_of_the_reference(sequences, reset_after: bool, layers: int) -> None:
    network = make(reset_after=reset_after, layers=layers)
    pairs = (Pair(0, 5), Pair(1, 13), Pair(1, 7), Pair(2, 19))
    measured = measure_lags("GRU", network, ClassObjective(), sequences, pairs, lags=5)

    assert measured.norms.shape == (4, 6)
    reference = to_reference(network, "softmax")
    for pair, norms in zip(pairs, measured.norms, strict=True):
        sequence = sequences[pair.sequence]
        x = sequence.features[: pair.step + 1, None].astype(np.float64)
        for lag in range(1, 6):
            cut = len(x) - lag
            before = forward(reference, x[:cut]).final_state
            trace = forward(reference, x[cut:], before)
            d_logits = np.zeros_like(trace.logits)
            d_logits[-1] = softmax(trace.logits[-1]) - np.eye(3)[sequence.targets[pair.step]]
            expected = np.linalg.norm(backward(reference, trace, d_logits).state)
            assert norms[lag] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", PEER_KINDS)
def test_a_peers_state_carries_all_that_it_remembers(sequences, kind) -> None:
    peer = make_peer(kind, make(layers=2), seed=4).double()
    x = torch.from_numpy(sequences[0].features).double()[:, None]
    state = zero_state(peer, 1)
    for step in x:
        state = next_state(peer, step, state)
    whole = peer(x)[1]
    assert torch.allclose(state, whole, rtol=0, atol=1e-12)
    assert state.shape[0] == (4 if kind == "LSTM" else 2)


def test_an_lstms_norm_is_that_of_h_and_c_together(sequences) -> None:
    peer = make_peer("LSTM", make(), seed=4)
    measured = measure_lags("LSTM", peer, ClassObjective(), sequences, (Pair(1, 9),), lags=2)

    exact = PeerNetwork("LSTM", peer.shape)
    exact.load_state_dict(peer.state_dict())
    exact.double()
    x = torch.from_numpy(sequences[1].features).double()[:10, None]
    before = exact(x[:8])[1].detach().requires_grad_()
    values = exact(x[8:], before)[0][-1]
    loss = torch.nn.functional.cross_entropy(values, torch.tensor([sequences[1].targets[9]]))
    (gradient,) = torch.autograd.grad(loss, before)
    assert gradient.shape == (2, 1, 4)
    assert measured.norms[0, 2] == pytest.approx(gradient.norm().item(), rel=1e-9)


def test_pairs_have_room_and_a_target(sequences) -> None:
    sequences[2].targets[15] = -1
    pairs = draw_pairs(sequences, 10, 100, seed=1)

    assert set(pairs) == {Pair(1, step) for step in range(10, 14)} | {
        Pair(2, step) for step in range(10, 20) if step != 15
    }
    assert len(draw_pairs(sequences, 10, 3, seed=1)) == 3
    assert fitting_lags(sequences, 100) == 13
    assert fitting_lags(sequences, 6) == 6


def test_shares_are_of_each_pairs_own_error() -> None:
    norms = LagNorms("GRU", np.array([[1.0, 0.5, 0.25], [100.0, 50.0, 25.0], [0.0, 0.0, 0.0]]))

    assert norms.relative[1].tolist() == [1.0, 0.5, 0.25]
    assert norms.factor_per_step == pytest.approx(0.5)
    assert norms.lag_below(0.3) == 2
    assert norms.lag_below(0.01) is None
