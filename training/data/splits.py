"""Cuts of every sequence in time: training, then validation, then test.

Owns where the cuts are. A test step is always later than every training step of its sequence, so
that nothing of the future is known when the network is fitted.
"""

from dataclasses import dataclass

from training.config import SplitConfig
from training.data.sequences import Dataset, Sequence
from training.errors import DataError


@dataclass(frozen=True)
class Split:
    """The three parts of every sequence, in the order of the data set's sequences.

    Attributes:
        training: what weights and scaling are fitted on.
        validation: decides when to stop, and between settings.
        test: the tails, used for the final figures only.
    """

    training: tuple[Sequence, ...]
    validation: tuple[Sequence, ...]
    test: tuple[Sequence, ...]


def split_by_time(dataset: Dataset, config: SplitConfig) -> Split:
    """Cuts every sequence at the same fractions of its length, each part at least one step long.

    Raises:
        DataError: a sequence is too short to be cut.
    """
    parts = [_cut(sequence, config) for sequence in dataset.sequences]
    training, validation, test = zip(*parts, strict=True)
    return Split(training, validation, test)


def check_targets(split: Split) -> None:
    """Makes sure that every part has something to be scored on.

    Raises:
        DataError: a part has no target at all, or all of them have weight 0.
    """
    for name, part in vars(split).items():
        if not any(_counts(sequence) for sequence in part):
            raise DataError(
                f"the {name} part has no target that counts; fill some in, or change the "
                "fractions of [split]"
            )


def _counts(sequence: Sequence) -> bool:
    scored = sequence.scored.reshape(len(sequence), -1).any(axis=1)
    return bool(scored.any() if sequence.weights is None else (sequence.weights[scored] > 0).any())


def _cut(sequence: Sequence, config: SplitConfig) -> tuple[Sequence, Sequence, Sequence]:
    steps = len(sequence)
    test_start = steps - max(1, round(config.test_fraction * steps))
    validation_start = test_start - max(1, round(config.validation_fraction * test_start))
    if validation_start < 1:
        raise DataError(
            f"sequence '{sequence.entity}' has {steps} steps, too few for a training, a validation "
            "and a test part; remove it or lower the fractions of [split]"
        )
    return (
        sequence.cut(0, validation_start),
        sequence.cut(validation_start, test_start),
        sequence.cut(test_start, steps),
    )
