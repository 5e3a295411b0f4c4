"""What is minimised, and what is counted: a class at each step.

Owns the loss and the accuracy, both over real steps only: a padded step touches neither. Knows
nothing of networks or data.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from training.reference import Activation
from training.sampling import Batch

# What turns the head's values into the probabilities that this loss compares.
ACTIVATION: Activation = "softmax"


@dataclass(frozen=True)
class Score:
    """A batch's loss and hits.

    Attributes:
        loss: cross-entropy summed over real steps, in nats, a scalar that can be differentiated.
        right: real steps whose most likely class is the true one.
        steps: real steps.
    """

    loss: Tensor
    right: int
    steps: int


def score(logits: Tensor, batch: Batch) -> Score:
    """Compares the head's values (steps, lanes, classes) with the targets."""
    answers, targets = logits[batch.real], batch.targets[batch.real]
    return Score(
        loss=functional.cross_entropy(answers, targets, reduction="sum"),
        right=int((answers.argmax(dim=-1) == targets).sum()),
        steps=len(targets),
    )
