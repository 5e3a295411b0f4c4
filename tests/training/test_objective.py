import math

import numpy as np
import pytest
import torch

from training.network import RecurrentNetwork, Shape, initialise
from training.objective import ClassObjective, LabelsObjective, Objective, RegressionObjective
from training.sampling import Batch

REAL = torch.tensor([[True, True], [True, False], [True, False]])
REGRESSION = RegressionObjective(
    ("a", "b"), ("m/s", ""), torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
)


def make_batch(filler: float, weights: torch.Tensor | None = None) -> Batch:
    """Lanes of three and of one step; what is padded holds `filler`."""
    inputs = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(1))
    inputs[~REAL] = filler
    counts = REAL.float() if weights is None else weights
    return Batch(inputs, torch.tensor([[0, 1], [1, 0], [2, 0]]), REAL, counts)


def make_wide(filler: float) -> Batch:
    """The same lanes with two outputs a step, of which one is missing."""
    batch = make_batch(filler)
    weights = batch.weights[..., None].repeat(1, 1, 2)
    weights[0, 0, 1] = 0.0
    targets = torch.tensor([[[1.0, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [0, 0]]])
    return Batch(batch.inputs, targets, REAL, weights)


def test_the_loss_is_the_sum_over_real_steps() -> None:
    logits = torch.zeros(3, 2, 3)
    logits[1, 0, 1] = 2.0
    logits[2, 1] = math.nan
    scored = ClassObjective().score(logits, make_batch(0.0))
    one = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert scored.loss.item() == pytest.approx(3 * math.log(3) + one, rel=1e-6)
    assert scored.weight == 4
    # Of equal values the first is the answer: class 0.
    assert np.trace(scored.counts) == 2


def test_a_weight_multiplies_loss_and_counts() -> None:
    logits = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(3))
    weights = torch.tensor([[0.5, 0.0], [2.0, 0.0], [0.0, 0.0]])
    scored = ClassObjective().score(logits, make_batch(0.0, weights))
    log = logits.log_softmax(dim=-1)
    assert scored.loss.item() == pytest.approx((-0.5 * log[0, 0, 0] - 2 * log[1, 0, 1]).item())
    assert scored.weight == 2.5


def test_regression_is_scored_in_spreads_and_told_in_units() -> None:
    values = torch.zeros(3, 2, 2)
    values[~REAL] = math.nan
    scored = REGRESSION.score(values, make_wide(0.0))
    # Targets of a: 1, 0 | 0, 1; of b: (missing), 1 | 0, 1, against the means 1 and 2.
    assert scored.loss.item() == pytest.approx((0 + 1 + 1 + 0) / 4 + (1 + 4 + 1) / 16)
    figures = REGRESSION.figures(scored)
    assert figures["a_mean_absolute_error_m_per_s"] == pytest.approx(2 / 4)
    assert figures["b_mean_absolute_error_units"] == pytest.approx(4 / 3)


def test_labels_are_scored_each_on_its_own() -> None:
    values = torch.full((3, 2, 2), 1.0)
    values[1, 0] = -1.0
    values[~REAL] = math.nan
    scored = LabelsObjective().score(values, make_wide(0.0))
    right, wrong = -math.log(1 / (1 + math.exp(-1))), -math.log(1 / (1 + math.exp(1)))
    assert scored.loss.item() == pytest.approx(6 * right + wrong, rel=1e-6)
    # Hits: a twice, b twice; one false alarm; no miss.
    assert LabelsObjective().figures(scored)["f1_percent"] == pytest.approx(800 / 9)


@pytest.mark.parametrize("objective", [ClassObjective(), REGRESSION, LabelsObjective()])
def test_a_padded_step_touches_neither_loss_nor_gradient(objective: Objective) -> None:
    results = []
    for filler in (0.0, 1e3):
        classes = isinstance(objective, ClassObjective)
        network = RecurrentNetwork(
            Shape(2, 3 if classes else 2, 4, 2, reset_after=False, bias=True)
        )
        initialise(network, torch.Generator().manual_seed(2))
        batch = make_batch(filler) if classes else make_wide(filler)
        scored = objective.score(network(batch.inputs)[0], batch)
        scored.loss.backward()
        results.append([scored.loss.detach(), *(p.grad for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
