"""What is trained on, what is held out: cuts of every sequence in time, or whole sequences.

Owns which step is in which part. By time, a test step is always later than every training step of
its sequence, so that nothing of the future is known when the network is fitted. By entity, nothing
of a group is known whose sequences are tested.
"""

import difflib
from dataclasses import dataclass

import numpy as np

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


def make_split(dataset: Dataset, config: SplitConfig, seed: int) -> Split:
    """Splits as configured.

    Raises:
        DataError: there is too little for three parts, or a group that is named isn't there.
    """
    if config.by == "time":
        return split_by_time(dataset, config)
    return split_by_entity(dataset, config, seed)


def split_by_entity(dataset: Dataset, config: SplitConfig, seed: int) -> Split:
    """Gives whole sequences to the parts, all of a group to one.

    The draw of groups follows from their names and the seed, not from their order in the file.

    Raises:
        DataError: there are fewer than three groups, or one that is named isn't there.
    """
    groups = sorted({sequence.group for sequence in dataset.sequences})
    for name in (*config.test_groups, *config.validation_groups):
        _check_group(name, groups)
    drawn = [groups[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    free = [group for group in drawn if group not in config.validation_groups]
    test = config.test_groups or _share(free, config.test_fraction)
    free = [group for group in drawn if group not in test]
    validation = config.validation_groups or _share(free, config.validation_fraction)
    training = [group for group in free if group not in validation]
    if not (training and validation and test):
        raise DataError(
            f"{len(groups)} groups are too few for a training, a validation and a test part: split "
            "by time, or name fewer in [split]"
        )
    parts = (
        tuple(sequence for sequence in dataset.sequences if sequence.group in part)
        for part in (training, validation, test)
    )
    return Split(*parts)


def _share(groups: list[str], fraction: float) -> tuple[str, ...]:
    return tuple(groups[: max(1, round(fraction * len(groups)))])


def _check_group(name: str, groups: list[str]) -> None:
    if name not in groups:
        near = difflib.get_close_matches(name, groups, n=1, cutoff=0)
        raise DataError(f"[split]: there is no group '{name}'; the nearest is '{near[0]}'")


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
            f"sequence '{sequence.entity}' has {steps} step{'s' * (steps != 1)}, too few for a "
            "training, a validation and a test part; remove it or lower the fractions of [split]"
        )
    return (
        sequence.cut(0, validation_start),
        sequence.cut(validation_start, test_start),
        sequence.cut(test_start, steps),
    )
