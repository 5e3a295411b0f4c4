"""The training step: forward, loss, back-propagation through time, clipping, update.

Owns the network's weights while they change, the optimiser and the learning rate's schedule.
Knows nothing of epochs, files or what is held out.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from training.config import TrainingConfig
from training.errors import RunError
from training.objective import Objective, Score
from training.processes import Processes
from training.sampling import Batch, Sampler

ALONE = Processes()


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


@dataclass(frozen=True)
class Memory:
    """What a fit carries from one update to the next beside the weights.

    Attributes:
        optimiser: its own state.
        carried: every lane's state after the last update, (layers, lanes, hidden); None before the
            first, and where each batch starts from zero state.
    """

    optimiser: dict[str, Any]
    carried: Tensor | None = None


class Trainer:
    """Fits a network, update by update: any whose forward is that of `RecurrentNetwork`."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        sampler: Sampler,
        config: TrainingConfig,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self._network = network
        self._objective = objective
        self._sampler = sampler
        self._config = config
        self._seed = seed
        self._processes = processes
        self._carried: Tensor | None = None
        self._device = next(network.parameters()).device
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def memory(self) -> Memory:
        """What goes from one update to the next beside the weights, of all processes."""
        carried = None if self._carried is None else self._carried.cpu()
        carried = self._processes.join_lanes(carried)
        return Memory(self._optimiser.state_dict(), carried)

    def remember(self, memory: Memory) -> None:
        """Goes on from what `memory` gave."""
        self._optimiser.load_state_dict(memory.optimiser)
        if memory.carried is not None:
            lanes = self._processes.lanes(memory.carried.shape[1])
            self._carried = memory.carried[:, lanes].contiguous().to(self._device)

    def update(self, number: int) -> Update:
        """Makes update `number`, counted from 0, with the batch of that number.

        Raises:
            RunError: the loss is not a finite number any more.
        """
        processes = self._processes
        batch = processes.share(self._sampler.batch(number)).to(self._device)
        score = self._objective.score(self._run(batch, number), batch)
        self._optimiser.zero_grad()
        # Padding never counts: the sum over targets is divided by their weight alone, which keeps
        # clipping and learning rate independent of how many there are.
        weight = processes.add(torch.tensor(score.weight, dtype=torch.float64)).item()
        torch.autograd.backward(score.loss / weight if weight else score.loss)
        processes.add_gradients(self._network.parameters())
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        if not math.isfinite(norm.item()):
            raise RunError(f"the gradient became {norm.item()}; lower training.learning_rate")
        rate = learning_rate(self._config, number)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        counted = torch.tensor([int(batch.real.sum()), batch.real.numel()])
        real, computed = processes.add(counted).tolist()
        return Update(
            score=self._total(score.detached(), weight),
            steps=real,
            padded_steps=computed - real,
            gradient_norm=norm.item(),
            learning_rate=rate,
        )

    def _total(self, score: Score, weight: float) -> Score:
        """The score of all processes' lanes."""
        # `detached` gave a tensor on the CPU, where processes add.
        loss = self._processes.add(score.loss.clone())
        counts = self._processes.add(torch.from_numpy(score.counts.copy()))
        return Score(loss, weight, counts.numpy())

    def _run(self, batch: Batch, number: int) -> Tensor:
        """The head's values, (steps, lanes, outputs), while the network trains."""
        self._network.train()
        kind = self._device.type
        narrow = self._config.precision == "bfloat16"
        devices = [self._device] if kind == "cuda" else []
        # Seeded for each update, so that a fit that goes on drops what it would have dropped.
        with torch.random.fork_rng(devices), torch.autocast(kind, torch.bfloat16, enabled=narrow):
            torch.manual_seed(hash((self._seed, number, self._processes.rank)) % 2**63)
            values, state = self._network(batch.inputs, self._carried, batch.boundaries)
        if self._sampler.carries:
            # The state goes on, the gradient does not.
            self._carried = state.detach()
        self._network.eval()
        return cast(Tensor, values.float())


def learning_rate(config: TrainingConfig, number: int) -> float:
    """The learning rate of update `number`: a linear rise, then a cosine fall towards 0."""
    updates = config.epochs * config.batches_per_epoch
    warmup = config.warmup_fraction * updates
    if number < warmup:
        return config.learning_rate * (number + 1) / math.ceil(warmup)
    progress = (number - warmup) / (updates - warmup)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
