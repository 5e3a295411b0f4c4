"""What is minimised, and what is counted, for each kind of target.

Owns the losses, the figures and their names. All are sums over targets that are there, each by its
weight: a padded step and a missing target touch neither loss nor gradient. Knows nothing of data.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.network import RecurrentNetwork
from training.reference import Activation
from training.sampling import Batch

ACTIVATIONS: dict[str, Activation] = {
    "class": "softmax",
    "regression": "identity",
    "labels": "sigmoid",
}


@dataclass(frozen=True)
class Score:
    """A batch's loss and counts.

    Attributes:
        loss: summed over targets by their weights, a scalar that can be differentiated.
        weight: what the loss is divided by to be that of a step.
        counts: sums from which an objective makes its figures.
    """

    loss: Tensor
    weight: float
    counts: NDArray[np.float64]

    @property
    def mean(self) -> Tensor:
        """The loss of a step; 0 for a batch without a target."""
        return self.loss / self.weight if self.weight else self.loss

    def detached(self) -> "Score":
        """The same figures, without what is needed to differentiate them."""
        return Score(self.loss.detach().cpu().double(), self.weight, self.counts)

    def __add__(self, other: "Score") -> "Score":
        """Of both batches together."""
        counts = self.counts + other.counts
        return Score(self.loss + other.loss, self.weight + other.weight, counts)


class Objective(Protocol):
    """One kind of target; there are three, which share nothing but this."""

    @property
    def loss_name(self) -> str:
        """The loss's name among the figures, with its unit."""

    def score(self, values: Tensor, batch: Batch) -> Score:
        """Compares the head's values (steps, lanes, outputs) with the targets."""

    def figures(self, score: Score) -> dict[str, float]:
        """Loss and metrics by names that end in their unit."""

    def describe(self, figures: dict[str, float]) -> str:
        """The figures in a few words."""


@dataclass(frozen=True)
class ClassObjective:
    """One of several classes a step: softmax and cross-entropy; the share that is right."""

    loss_name = "loss_nats_per_step"

    def score(self, values: Tensor, batch: Batch) -> Score:
        """Compares; the counts are steps by true and most likely class, (classes, classes)."""
        scored = batch.weights > 0
        answers, targets, weights = values[scored], batch.targets[scored], batch.weights[scored]
        losses = functional.cross_entropy(answers, targets, reduction="none")
        classes = values.shape[-1]
        pairs = targets * classes + answers.argmax(dim=-1)
        counted = pairs.cpu().numpy(), weights.cpu().numpy()
        confusion = np.bincount(*counted, minlength=classes**2)
        counts = confusion.reshape(classes, classes).astype(np.float64)
        return Score((losses * weights).sum(), float(counts.sum()), counts)

    def figures(self, score: Score) -> dict[str, float]:
        """Loss and accuracy of a step."""
        right = 100.0 * float(np.trace(score.counts)) / max(score.weight, 1e-300)
        return {self.loss_name: score.mean.item(), "accuracy_percent": right}

    def describe(self, figures: dict[str, float]) -> str:
        """Such as "loss 0.1234 nats/step  97.50% right"."""
        accuracy = figures["accuracy_percent"]
        return f"loss {figures[self.loss_name]:.4f} nats/step  {accuracy:.2f}% right"


@dataclass(frozen=True)
class RegressionObjective:
    """Numbers: squared error in units of the target's spread; mean absolute error in its own.

    Attributes:
        names: of the targets.
        units: of the targets, "" for none.
        mean, scale: of the targets in the training part, (outputs,).
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    mean: Tensor
    scale: Tensor

    loss_name = "loss_squared_spreads_per_step"

    def score(self, values: Tensor, batch: Batch) -> Score:
        """Compares; the counts are absolute errors and weights of each output, (2, outputs)."""
        errors = values - (batch.targets - self.mean) / self.scale
        # Chosen, not multiplied: what a padded step holds may be no number at all.
        errors = torch.where(batch.weights > 0, errors, 0.0)
        weights = batch.weights.double().sum(dim=(0, 1))
        absolute = (errors.detach().abs() * batch.weights * self.scale).double().sum(dim=(0, 1))
        counts = torch.stack([absolute, weights]).cpu().numpy()
        # The mean over outputs, so that the loss of a step does not grow with their number.
        return Score((errors**2 * batch.weights).sum(), float(counts[1].sum()), counts)

    def figures(self, score: Score) -> dict[str, float]:
        """Loss, and each output's mean absolute error."""
        absolute, weights = score.counts
        errors = absolute / np.maximum(weights, 1e-300)
        names = [self._name(*pair) for pair in zip(self.names, self.units, strict=True)]
        return {self.loss_name: score.mean.item()} | dict(zip(names, errors.tolist(), strict=True))

    def describe(self, figures: dict[str, float]) -> str:
        """Such as "loss 0.0123  traffic_volume 142.1 vehicles/h off"."""
        words = [f"loss {figures[self.loss_name]:.4f}"]
        for name, unit in zip(self.names, self.units, strict=True):
            error = f"{figures[self._name(name, unit)]:.4g}"
            words.append(f"{name} {error}{' ' if unit else ''}{unit} off")
        return "  ".join(words)

    def _name(self, name: str, unit: str) -> str:
        unit_words = re.sub(r"\W+", "_", unit.replace("/", "_per_"))
        words = [name] * (len(self.names) > 1) + ["mean_absolute_error", unit_words or "units"]
        return "_".join(words)


@dataclass(frozen=True)
class LabelsObjective:
    """Several labels a step, each on its own: sigmoid and binary cross-entropy; F1."""

    loss_name = "loss_nats_per_step"

    def score(self, values: Tensor, batch: Batch) -> Score:
        """Compares; the counts are hits, false alarms and misses of each label, (3, labels)."""
        values = torch.where(batch.weights > 0, values, 0.0)
        losses = functional.binary_cross_entropy_with_logits(
            values, batch.targets, batch.weights, reduction="sum"
        )
        said, true = values.detach() > 0, batch.targets > 0
        outcomes = torch.stack([said & true, said & ~true, ~said & true])
        counts = (outcomes * batch.weights).double().sum(dim=(1, 2)).cpu().numpy()
        # A step's loss is the sum over its labels: a label missing is that part of a step missing.
        steps = batch.weights.double().sum().item() / values.shape[-1]
        return Score(losses, steps, counts)

    def figures(self, score: Score) -> dict[str, float]:
        """Loss of a step, and F1 over all labels together."""
        hits, false_alarms, misses = score.counts.sum(axis=1)
        f1 = 200.0 * hits / max(2 * hits + false_alarms + misses, 1e-300)
        return {self.loss_name: score.mean.item(), "f1_percent": float(f1)}

    def describe(self, figures: dict[str, float]) -> str:
        """Such as "loss 0.1234 nats/step  F1 45.20%"."""
        return f"loss {figures[self.loss_name]:.4f} nats/step  F1 {figures['f1_percent']:.2f}%"


def choose_objective(
    kind: str, names: tuple[str, ...], units: tuple[str, ...], network: RecurrentNetwork
) -> Objective:
    """The objective for a kind of target, with the network's output scaling."""
    if kind == "regression":
        return RegressionObjective(names, units, network.output_mean, network.output_scale)
    return ClassObjective() if kind == "class" else LabelsObjective()
