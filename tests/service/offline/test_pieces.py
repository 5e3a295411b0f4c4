import numpy as np
import pyarrow as pa
import pytest

from service.offline.pieces import WIDTH, Pieces, binary


@pytest.mark.parametrize("features", [1, WIDTH, WIDTH + 1, 3 * WIDTH])
def test_rows_that_were_cut_are_joined_as_they_were(features):
    values = np.random.default_rng(features).standard_normal((11, features), np.float32)
    keys = pa.array([None, *range(10)], pa.int64())
    arrays = [keys, binary(values), pa.array([*"abcdefghij", None])]
    batch = pa.record_batch(arrays, names=["entity", "features", "problem"])
    pieces = Pieces(batch.schema, features)

    # From a place within a batch, as batches come.
    cut = pieces.cut(batch.slice(2))
    joined = pieces.join(cut.slice(3 * pieces.count))

    assert len(cut) == 9 * pieces.count
    assert all(len(cell.as_py()) <= 4 * WIDTH for cell in cut.column("features"))
    assert joined.equals(batch.slice(5))
