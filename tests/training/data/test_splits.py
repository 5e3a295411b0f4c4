from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import SplitConfig
from training.data.sequences import Dataset, Sequence
from training.data.splits import Split, make_split, split_by_time
from training.errors import ConfigError, DataError
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
    split = split_by_time(data, SplitConfig("time", test_fraction, validation_fraction))
    parts = zip(data.sequences, split.training, split.validation, split.test, strict=True)
    for sequence, *three in parts:
        assert all(len(part) >= 1 and part.entity == sequence.entity for part in three)
        joined = np.concatenate([part.features for part in three])
        assert np.array_equal(joined, sequence.features)
        assert np.array_equal(np.concatenate([part.order for part in three]), sequence.order)
        assert np.array_equal(np.concatenate([part.targets for part in three]), sequence.targets)
        assert abs(len(three[2]) - test_fraction * len(sequence)) <= 1


def test_the_shares_are_those_of_the_settings() -> None:
    split = split_by_time(dataset([1000]), SplitConfig("time", 0.3, 0.1))
    assert [len(part[0]) for part in (split.training, split.validation, split.test)] == [
        630,
        70,
        300,
    ]


def test_a_short_sequence_is_named() -> None:
    with pytest.raises(DataError, match="sequence '1' has 2 steps, too few"):
        split_by_time(dataset([50, 2]), SplitConfig())


def grouped(*groups: str) -> Dataset:
    data = dataset([4] * len(groups))
    sequences = zip(data.sequences, groups, strict=True)
    return replace(data, sequences=tuple(replace(s, group=group) for s, group in sequences))


def groups_of(split: Split) -> list[set[str]]:
    return [{s.group for s in part} for part in (split.training, split.validation, split.test)]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=8), st.integers(0, 99), fractions, fractions)
def test_a_group_is_in_one_part_and_every_sequence_in_some(groups, seed, test, validation) -> None:
    data = grouped(*groups, "x", "y", "z")
    split = make_split(data, SplitConfig("entity", test, validation), seed)
    parts = groups_of(split)
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == len({*groups, "x", "y", "z"})
    assert sum(map(len, vars(split).values())) == len(data.sequences)
    backwards = replace(data, sequences=data.sequences[::-1])
    assert groups_of(make_split(backwards, SplitConfig("entity", test, validation), seed)) == parts


def test_the_draw_follows_the_seed() -> None:
    data = grouped(*"abcdefghij")
    config = SplitConfig("entity")
    draws = {tuple(sorted(groups_of(make_split(data, config, seed))[2])) for seed in range(10)}
    assert len(draws) > 3


def test_groups_can_be_named() -> None:
    config = SplitConfig("entity", test_groups=("b", "d"), validation_groups=("a",))
    split = make_split(grouped(*"abcdde"), config, 1)
    assert groups_of(split) == [{"c", "e"}, {"a"}, {"b", "d"}]
    assert len(split.test) == 3


@pytest.mark.parametrize(
    ("groups", "names", "message"),
    [
        ("ab", {}, "2 groups are too few"),
        ("abc", {"test_groups": ("a", "b"), "validation_groups": ("c",)}, "3 groups are too few"),
        ("abc", {"test_groups": ("bb",)}, "there is no group 'bb'; the nearest is 'b'"),
    ],
)
def test_parts_that_cannot_be_are_refused(groups, names, message) -> None:
    with pytest.raises(DataError, match=message):
        make_split(grouped(*groups), SplitConfig("entity", **names), 1)


def test_what_a_split_says_fits_together() -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        SplitConfig("weekday")
    with pytest.raises(ConfigError, match=r"test_groups .* needs split.by"):
        SplitConfig(test_groups=("a",))
    with pytest.raises(ConfigError, match="shares"):
        SplitConfig("entity", test_groups=("a",), validation_groups=("a", "b"))
