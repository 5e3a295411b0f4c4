import io

import numpy as np
import pyarrow as pa
import pytest

from service.errors import TableError
from service.offline.results import Answers, replacing, write
from service.offline.table import Columns, Table


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "answers.parquet"
    path.write_bytes(b"old")
    # Whoever has the old file open goes on with it whole.
    with path.open("rb") as reader:
        with replacing(path) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
        assert reader.read() == b"old"

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_block_leaves_the_old_file(tmp_path, kind):
    path = tmp_path / "answers.parquet"
    path.write_bytes(b"old")

    with pytest.raises(kind), replacing(path) as file:
        file.write(b"new")
        raise kind

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_answer_that_is_no_number_is_named_in_any_row_group():
    numbers = pa.chunked_array([np.arange(140_000)])
    table = Table("s.csv", Columns("e", "t", ()), numbers, numbers, np.empty((140_000, 0), "f4"))
    values = np.zeros((140_000, 2), np.float32)
    values[135_000, 1] = np.inf

    with pytest.raises(TableError, match=r"row 135001, column 'b', entity 135000: .* inf"):
        write(io.BytesIO(), table, Answers(("a", "b"), False, values), {})
