import math

import pytest
import torch

from training.network import RecurrentNetwork, Shape, initialise
from training.objective import score
from training.sampling import Batch

REAL = torch.tensor([[True, True], [True, False], [True, False]])


def make_batch(filler: float) -> Batch:
    """Lanes of three and of one step; what is padded holds `filler`."""
    inputs = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(1))
    inputs[~REAL] = filler
    return Batch(inputs, torch.tensor([[0, 1], [1, 0], [2, 0]]), REAL)


def test_the_loss_is_the_sum_over_real_steps() -> None:
    logits = torch.zeros(3, 2, 3)
    logits[1, 0, 1] = 2.0
    logits[2, 1] = math.nan
    scored = score(logits, make_batch(0.0))
    one = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert scored.loss.item() == pytest.approx(3 * math.log(3) + one, rel=1e-6)
    assert scored.steps == 4
    # Of equal values the first is the answer: class 0.
    assert scored.right == 2


def test_a_padded_step_touches_neither_loss_nor_gradient() -> None:
    results = []
    for filler in (0.0, 1e3):
        network = RecurrentNetwork(Shape(2, 3, 4, 2, reset_after=False, bias=True))
        initialise(network, torch.Generator().manual_seed(2))
        batch = make_batch(filler)
        scored = score(network(batch.inputs)[0], batch)
        scored.loss.backward()
        results.append([scored.loss.detach(), *(p.grad for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
