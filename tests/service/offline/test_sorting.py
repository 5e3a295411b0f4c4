"""Sorting that the library gives up."""

import numpy as np
import pyarrow as pa
import pytest

from service.errors import TableError
from service.offline import source
from service.offline.sorting import Form, SortedSteps, sort
from service.offline.source import batch_rows
from service.offline.steps import Block

FEATURES, ROWS = 64, 16_384


def blocks():
    """Rows without an end."""
    random, nothing = np.random.default_rng(1), pa.nulls(ROWS, pa.string())
    while True:
        keys = pa.array(random.integers(0, 10**9, ROWS))
        features = random.standard_normal((ROWS, FEATURES), np.float32)
        yield Block(
            keys, keys, features, np.zeros(ROWS, np.int32), np.arange(ROWS), nothing, nothing
        )


def test_memory_that_does_not_suffice_is_told_of(tmp_path):
    sorting = sort(blocks(), Form(pa.int64(), pa.int64(), FEATURES), tmp_path / "sorted.arrow", 20)

    with pytest.raises(TableError, match="give more --memory, or sort the input"):
        list(sorting)


def test_ranges_are_sorted_one_after_the_other(tmp_path):
    random, form = np.random.default_rng(3), Form(pa.int64(), pa.int64(), FEATURES)
    given = [next(blocks()) for _ in range(3)]
    ends = np.sort(random.choice(10**9, 4, replace=False))

    whole, ranges = (
        [*sort(iter(given), form, tmp_path / name, 200, bounds)]
        for name, bounds in (("whole", None), ("ranges", pa.array(ends)))
    )

    assert [len(block) for block in ranges] == [len(block) for block in whole]
    for one, other in zip(ranges, whole, strict=True):
        assert one.entities.equals(other.entities)
        assert one.numbers.tolist() == other.numbers.tolist()
        assert one.features.tobytes() == other.features.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranges", "whole"]


def test_a_sorted_file_is_read_from_any_row_on_whatever_its_batches(tmp_path, monkeypatch):
    form, given = Form(pa.int64(), pa.int64(), FEATURES), [next(blocks())]
    monkeypatch.setattr(source, "_BATCH_ROWS", 1_000)
    [*sort(iter(given), form, tmp_path / "sorted", 200)]
    # As in another version of the program.
    monkeypatch.setattr(source, "_BATCH_ROWS", 3_000)
    steps = SortedSteps(tmp_path / "sorted", form)
    every = np.concatenate([block.numbers for _, block in steps.blocks(0)])

    for start in (0, 999, 1_000, 7_500, ROWS - 1):
        first, block = next(steps.blocks(start))
        assert first <= start < first + len(block)
        assert block.numbers.tolist() == every[first : first + len(block)].tolist()


@pytest.mark.parametrize(("columns", "rows"), [(2, 16_384), (512, 2_048), (10**9, 1)])
def test_batches_of_wide_rows_have_fewer(columns, rows):
    assert batch_rows(columns) == rows
