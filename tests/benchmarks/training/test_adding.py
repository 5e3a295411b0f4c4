"""The adding problem as it is drawn, and that a fit of a short one finds the rule."""

from dataclasses import replace

import numpy as np

from benchmarks.training.adding import Adding, AddingSampler, count_weights, fit_adding, read_adding
from benchmarks.training.published import TASKS
from training.config import NetworkConfig, TrainingConfig
from training.network import RecurrentNetwork, Shape


def test_two_numbers_are_marked_and_their_sum_is_the_last_target() -> None:
    batch = AddingSampler(steps=30, lanes=50, seed=1).batch(3)
    values, marks = batch.inputs.numpy().transpose(2, 0, 1)
    assert np.array_equal(marks[:15].sum(0), np.ones(50))
    assert np.array_equal(marks[15:].sum(0), np.ones(50))
    assert 0 <= values.min() < 0.1
    assert 0.9 < values.max() <= 1
    np.testing.assert_allclose(batch.targets[-1, :, 0], (values * marks).sum(0), rtol=1e-6)
    assert batch.weights.sum() == 50
    assert not np.array_equal(values, AddingSampler(30, 50, 1).batch(4).inputs[..., 0])


def test_a_short_one_is_learnt() -> None:
    training = TrainingConfig(epochs=1, batches_per_epoch=250, lanes=32, learning_rate=1e-2)
    problem = Adding(10, 500, NetworkConfig(hidden=16), training)
    assert fit_adding(problem, 1, lambda _number, _loss: None) < 0.02
    few = replace(problem, training=replace(training, batches_per_epoch=2))
    assert fit_adding(few, 1, lambda _number, _loss: None) > 0.1


def test_the_committed_network_has_the_published_number_of_weights() -> None:
    problem = read_adding()
    assert 69_000 < count_weights(problem) < 71_000
    network = RecurrentNetwork(Shape(2, 1, problem.network.hidden, 1, False, True))
    assert sum(weight.numel() for weight in network.parameters()) == count_weights(problem)


def test_a_figure_is_reached_or_not() -> None:
    fold, traffic = TASKS[0], next(task for task in TASKS if task.name == "traffic")
    assert fold.reached(88.0)
    assert not fold.reached(87.9)
    assert traffic.reached(145.0)
    assert not traffic.reached(145.1)
