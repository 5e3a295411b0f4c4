import numpy as np
import pytest
import torch

from training.convert import to_reference
from training.data.sequences import Sequence
from training.evaluate import evaluate
from training.network import RecurrentNetwork, Shape, initialise
from training.objective import ClassObjective
from training.reference import forward


# Chunks of one step, of a few, and longer than any sequence.
@pytest.mark.parametrize("most", [1, 1000, 65_536])
def test_every_step_counts_from_a_cold_start(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluate._MOST_STEPS", most)
    draw = np.random.default_rng(8)
    network = RecurrentNetwork(Shape(2, 3, 5, 1, reset_after=False, bias=True))
    initialise(network, torch.Generator().manual_seed(4))
    # More sequences than are computed at a time, of lengths 1 to 9.
    sequences = tuple(
        Sequence(
            str(index),
            np.arange(index % 9 + 1),
            draw.normal(size=(index % 9 + 1, 2)).astype(np.float32),
            draw.integers(0, 3, size=index % 9 + 1),
        )
        for index in range(300)
    )

    objective = ClassObjective()
    score = evaluate(network, objective, sequences)
    figures = objective.figures(score)

    confusion, loss = np.zeros((3, 3), np.int64), 0.0
    reference = to_reference(network, "softmax")
    for sequence in sequences:
        outputs = forward(reference, sequence.features[:, None].astype(np.float64)).outputs[:, 0]
        for answer, target in zip(outputs, sequence.targets, strict=True):
            confusion[target, answer.argmax()] += 1
            loss -= np.log(answer[target])
    assert np.array_equal(score.counts, confusion)
    assert score.weight == confusion.sum()
    assert figures["loss_nats_per_step"] == pytest.approx(loss / confusion.sum(), rel=1e-5)
    accuracy = 100 * np.trace(confusion) / confusion.sum()
    assert figures["accuracy_percent"] == pytest.approx(accuracy)
