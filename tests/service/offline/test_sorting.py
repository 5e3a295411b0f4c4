"""Sorting that the library gives up."""

import numpy as np
import pyarrow as pa
import pytest

from service.errors import TableError
from service.offline.sorting import Form, sort
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


@pytest.mark.parametrize(("columns", "rows"), [(2, 16_384), (512, 4_096), (10**9, 1)])
def test_batches_of_wide_rows_have_fewer(columns, rows):
    assert batch_rows(columns) == rows
