"""The report as a table, and as a picture."""

from pathlib import Path

import numpy as np
import pytest

from export.errors import OutputError
from export.picture import draw_errors
from export.report import table
from protos.statewise.v1.manifest_pb2 import Comparison

COMPARISONS = [
    Comparison(check="weights", compared="this with that", values=12345, passed=True),
    Comparison(
        check="reference",
        compared="a longer text",
        values=7,
        worst_error=0.25,
        tolerance=1e-5,
        where="step 3, row 1",
    ),
]


def test_the_table_is_aligned_and_tells_what_failed() -> None:
    lines = table(COMPARISONS).splitlines()

    assert lines[0].split()[:4] == ["check", "compared", "values", "worst"]
    assert lines[2].split("  ")[0].strip() == "weights"
    assert "12,345" in lines[2]
    assert lines[2].endswith("passed")
    assert "2.5e-01" in lines[3]
    assert "step 3, row 1" in lines[3]
    assert lines[3].endswith("FAILED")
    for header in ("compared", "where", "result"):
        column = lines[0].index(header)
        assert all(line[column - 1] == " " and line[column] != " " for line in lines)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "new/validation.png"

    draw_errors({1: np.array([0.0, 1e-3]), 64: np.array([1e-2, np.inf])}, "activity", path)

    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError):
        draw_errors({1: np.ones(2)}, "activity", tmp_path)
