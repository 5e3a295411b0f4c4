import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import SplitConfig
from training.data.sequences import Dataset, Sequence
from training.data.splits import split_by_time
from training.errors import DataError
from training.trained import Channel


def dataset(lengths: list[int]) -> Dataset:
    sequences = tuple(
        Sequence(
            str(index),
            np.arange(steps),
            np.full((steps, 1), index, np.float32) + np.arange(steps)[:, None] / 1000,
            np.arange(steps),
        )
        for index, steps in enumerate(lengths)
    )
    return Dataset((Channel("a"),), ("x", "y"), sequences)


fractions = st.floats(0.05, 0.5)


@given(st.lists(st.integers(4, 300), min_size=1, max_size=5), fractions, fractions)
def test_the_parts_are_the_whole_in_time_order(lengths, test_fraction, validation_fraction) -> None:
    data = dataset(lengths)
    split = split_by_time(data, SplitConfig(test_fraction, validation_fraction))
    parts = zip(data.sequences, split.training, split.validation, split.test, strict=True)
    for sequence, *three in parts:
        assert all(len(part) >= 1 and part.entity == sequence.entity for part in three)
        joined = np.concatenate([part.features for part in three])
        assert np.array_equal(joined, sequence.features)
        assert np.array_equal(np.concatenate([part.order for part in three]), sequence.order)
        assert np.array_equal(np.concatenate([part.targets for part in three]), sequence.targets)
        assert abs(len(three[2]) - test_fraction * len(sequence)) <= 1


def test_the_shares_are_those_of_the_settings() -> None:
    split = split_by_time(dataset([1000]), SplitConfig(0.3, 0.1))
    assert [len(part[0]) for part in (split.training, split.validation, split.test)] == [
        630,
        70,
        300,
    ]


def test_a_short_sequence_is_named() -> None:
    with pytest.raises(DataError, match="sequence '1' has 2 steps, too few"):
        split_by_time(dataset([50, 2]), SplitConfig())
