"""The training step: forward, loss, back-propagation through time, clipping, update.

Owns the network's weights while they change, the optimiser and the learning rate's schedule.
Knows nothing of epochs, files or what is held out.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from training.config import TrainingConfig
from training.errors import RunError
from training.objective import Objective, Score
from training.sampling import CropSampler


@dataclass(frozen=True)
class Update:
    """One update of the weights.

    Attributes:
        score: loss and counts of the batch, before the update.
        steps: real steps.
        padded_steps: steps that were computed for nothing.
        gradient_norm: of the mean loss of a step, before clipping.
        learning_rate: that was used.
    """

    score: Score
    steps: int
    padded_steps: int
    gradient_norm: float
    learning_rate: float


class Trainer:
    """Fits a network, update by update: any whose forward is that of `RecurrentNetwork`."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        sampler: CropSampler,
        config: TrainingConfig,
    ) -> None:
        self._network = network
        self._objective = objective
        self._sampler = sampler
        self._config = config
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def optimiser_state(self) -> dict[str, Any]:
        """What the optimiser remembers from one update to the next."""
        return self._optimiser.state_dict()

    def restore_optimiser(self, state: dict[str, Any]) -> None:
        """Goes on from a state that `optimiser_state` gave."""
        self._optimiser.load_state_dict(state)

    def update(self, number: int) -> Update:
        """Makes update `number`, counted from 0, with the batch of that number.

        Raises:
            RunError: the loss is not a finite number any more.
        """
        batch = self._sampler.batch(number)
        values, _ = self._network(batch.inputs)
        score = self._objective.score(values, batch)
        self._optimiser.zero_grad()
        # Padding never counts: the sum over targets is divided by their weight alone, which keeps
        # clipping and learning rate independent of how many there are.
        torch.autograd.backward(score.mean)
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        if not math.isfinite(norm.item()):
            raise RunError(f"the gradient became {norm.item()}; lower training.learning_rate")
        rate = learning_rate(self._config, number)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        steps = int(batch.real.sum())
        return Update(
            score=score.detached(),
            steps=steps,
            padded_steps=batch.real.numel() - steps,
            gradient_norm=norm.item(),
            learning_rate=rate,
        )


def learning_rate(config: TrainingConfig, number: int) -> float:
    """The learning rate of update `number`: a linear rise, then a cosine fall towards 0."""
    updates = config.epochs * config.batches_per_epoch
    warmup = config.warmup_fraction * updates
    if number < warmup:
        return config.learning_rate * (number + 1) / math.ceil(warmup)
    progress = (number - warmup) / (updates - warmup)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
