"""The figures of one epoch.

Owns what is measured between two looks at the validation part, and the names and units under which
it is logged. Losses and metrics are those of an objective, each of a step that has a target.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

from training.objective import Objective, Score
from training.trainer import Update


@dataclass(frozen=True)
class EpochFigures:
    """One line of the log; the names end in their units.

    Attributes:
        epoch: counted from 1.
        training: the objective's figures over the epoch's targets, while the weights changed.
        validation: after the epoch, streamed cold.
        validation_loss: the one of them that decides.
        learning_rate: of the epoch's last update.
        gradient_norm: mean over updates, before clipping.
        padding_percent: share of computed steps that were not real.
        speed_steps_per_second: real steps trained on in a second.
    """

    epoch: int
    training: dict[str, float]
    validation: dict[str, float]
    validation_loss: float
    learning_rate: float
    gradient_norm: float
    padding_percent: float
    speed_steps_per_second: float

    def line(self) -> dict[str, float]:
        """All figures by name, each name ending in its unit."""
        return {
            "epoch": self.epoch,
            **{f"train_{name}": value for name, value in self.training.items()},
            **self.validation_figures(),
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "padding_percent": self.padding_percent,
            "speed_steps_per_second": self.speed_steps_per_second,
        }

    def validation_figures(self) -> dict[str, float]:
        """The validation part's figures by name."""
        return {f"validation_{name}": value for name, value in self.validation.items()}


def summarise(
    epoch: int, objective: Objective, updates: list[Update], seconds: float, validation: Score
) -> EpochFigures:
    """Figures of an epoch whose updates took so many seconds."""
    steps = sum(update.steps for update in updates)
    figures = objective.figures(validation)
    padded = sum(update.padded_steps for update in updates)
    return EpochFigures(
        epoch=epoch,
        training=objective.figures(reduce(add, (update.score for update in updates))),
        validation=figures,
        validation_loss=figures[objective.loss_name],
        learning_rate=updates[-1].learning_rate,
        gradient_norm=sum(update.gradient_norm for update in updates) / len(updates),
        padding_percent=100.0 * padded / (steps + padded),
        speed_steps_per_second=steps / seconds,
    )
