"""The figures of one epoch.

Owns what is measured between two looks at the validation part, and the names and units under which
it is logged. Every loss and accuracy is that of a real step.
"""

from dataclasses import dataclass

from training.evaluate import Evaluation
from training.trainer import Update


@dataclass(frozen=True)
class EpochFigures:
    """One line of the log; the names end in their units.

    Attributes:
        epoch: counted from 1.
        train_loss_nats_per_step: mean over the epoch's real steps, while the weights changed.
        train_accuracy_percent: likewise.
        validation_loss_nats_per_step: after the epoch, streamed cold.
        validation_accuracy_percent: likewise.
        learning_rate: of the epoch's last update.
        gradient_norm: mean over updates, before clipping.
        padding_percent: share of computed steps that were not real.
        speed_steps_per_second: real steps trained on in a second.
    """

    epoch: int
    train_loss_nats_per_step: float
    train_accuracy_percent: float
    validation_loss_nats_per_step: float
    validation_accuracy_percent: float
    learning_rate: float
    gradient_norm: float
    padding_percent: float
    speed_steps_per_second: float


def summarise(
    epoch: int, updates: list[Update], seconds: float, validation: Evaluation
) -> EpochFigures:
    """Figures of an epoch whose updates took so many seconds."""
    steps = sum(update.steps for update in updates)
    padded = sum(update.padded_steps for update in updates)
    return EpochFigures(
        epoch=epoch,
        train_loss_nats_per_step=sum(update.loss for update in updates) / steps,
        train_accuracy_percent=100.0 * sum(update.right for update in updates) / steps,
        validation_loss_nats_per_step=validation.loss,
        validation_accuracy_percent=validation.accuracy_percent,
        learning_rate=updates[-1].learning_rate,
        gradient_norm=sum(update.gradient_norm for update in updates) / len(updates),
        padding_percent=100.0 * padded / (steps + padded),
        speed_steps_per_second=steps / seconds,
    )
