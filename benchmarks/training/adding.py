"""The adding problem: what a network has to remember over hundreds of steps.

Owns how its sequences are drawn, and its fit: they are made as they are needed, and none is seen
twice. A step has two numbers: one uniform in 0 to 1, and a mark, which is 1 at one step of each
half and 0 elsewhere. The target, at the last step, is the sum of the two numbers that are marked.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.config import NetworkConfig, TrainingConfig
from training.network import RecurrentNetwork, Shape, initialise
from training.objective import RegressionObjective
from training.sampling import Batch
from training.trainer import Trainer

_CONFIG = Path(__file__).with_name("adding.toml")
# No training batch has so high a number.
_TEST_NUMBER = 2**40


@dataclass(frozen=True)
class Adding:
    """A variant of the problem, and how it is fitted."""

    steps: int
    test_sequences: int
    network: NetworkConfig
    training: TrainingConfig


def read_adding(path: Path = _CONFIG) -> Adding:
    """Reads the committed settings."""
    table = tomllib.loads(path.read_text())
    network, training = NetworkConfig(**table["network"]), TrainingConfig(**table["training"])
    return Adding(table["steps"], table["test_sequences"], network, training)


class AddingSampler:
    """Sequences of the problem; a batch follows from the seed and its number."""

    carries = False

    def __init__(self, steps: int, lanes: int, seed: int) -> None:
        self._steps = steps
        self._lanes = lanes
        self._seed = seed

    def batch(self, number: int) -> Batch:
        """Batch `number`; only the last step has a target."""
        generator = np.random.default_rng((self._seed, number))
        size, half = (self._steps, self._lanes), self._steps // 2
        inputs = np.zeros((*size, 2), np.float32)
        inputs[..., 0] = generator.random(size)
        lanes = np.arange(self._lanes)
        for first, end in ((0, half), (half, self._steps)):
            inputs[generator.integers(first, end, self._lanes), lanes, 1] = 1.0
        targets, weights = np.zeros((2, *size, 1), np.float32)
        targets[-1, :, 0] = (inputs[..., 0] * inputs[..., 1]).sum(axis=0)
        weights[-1] = 1.0
        arrays = map(torch.from_numpy, (inputs, targets, np.ones(size, bool), weights))
        inputs_, targets_, real, weights_ = arrays
        return Batch(inputs_, targets_, real, weights_)


def fit_adding(problem: Adding, seed: int, watch: Callable[[int, float], None]) -> float:
    """Fits a network and tests it.

    Args:
        problem: what to fit.
        seed: of weights and sequences.
        watch: called after every update with its number and loss, the mean squared error.

    Returns:
        The mean squared error on test sequences; always to answer 1 gives 1/6.
    """
    shape = Shape(
        features=2,
        outputs=1,
        hidden=problem.network.hidden,
        layers=problem.network.layers,
        reset_after=problem.network.reset_after,
        bias=problem.network.bias,
    )
    network = RecurrentNetwork(shape)
    initialise(network, torch.Generator().manual_seed(seed))
    objective = RegressionObjective(("sum",), ("",), torch.zeros(1), torch.ones(1))
    settings = problem.training
    sampler = AddingSampler(problem.steps, settings.lanes, seed)
    trainer = Trainer(network, objective, sampler, settings, seed)
    for number in range(settings.epochs * settings.batches_per_epoch):
        watch(number, trainer.update(number).score.mean.item())
    test = AddingSampler(problem.steps, problem.test_sequences, seed).batch(_TEST_NUMBER)
    with torch.inference_mode():
        values, _ = network(test.inputs)
    return objective.score(values, test).mean.item()


def count_weights(problem: Adding) -> int:
    """Numbers that are fitted."""
    hidden = problem.network.hidden
    return 3 * hidden * (hidden + 2 + 1) + hidden + 1
