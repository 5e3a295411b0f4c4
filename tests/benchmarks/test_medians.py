"""Between which values a median lies."""

import numpy as np
import pytest

from benchmarks.medians import interval


@pytest.mark.parametrize(
    ("repeats", "least"), [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (10, 2), (16, 4), (30, 10)]
)
def test_the_interval_of_a_median_lies_between_the_ranks_of_the_published_table(
    repeats: int, least: int
) -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1, repeats + 1)).tolist()
    assert interval(shuffled) == (least, repeats + 1 - least)


def test_the_interval_holds_the_true_median_of_95_in_100_series() -> None:
    # A long tail to one side, as times have.
    series = np.random.default_rng(1).exponential(size=(4_000, 12))
    found = np.array([interval(one.tolist()) for one in series])
    held = (found[:, 0] <= np.log(2)) & (found[:, 1] >= np.log(2))
    # Ranks 3 and 10 of 12: 96.1%.
    assert held.mean() == pytest.approx(0.961, abs=0.01)
