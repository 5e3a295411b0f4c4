"""Cells of a column as values of a type, whatever the column is.

Owns the conversion, cell by cell where a column as a whole can't be converted, and the choice of a
type for a column of texts.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Of a text that says when a step was; the first that fits most, and where a later text does not fit
# a type, the next of its line may.
_LINES = (
    (pa.int64(), pa.float64()),
    (pa.timestamp("ms"), pa.timestamp("ns")),
    (pa.timestamp("ms", "UTC"), pa.timestamp("ns", "UTC")),
    (pa.time32("ms"), pa.time64("ns")),
)


def read_cells(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Values of a column as another type.

    Returns:
        The values, null where a cell is none of the type, and which cells are such, (cells,).
    """
    bad = np.zeros(len(column), np.bool_)
    if column.type == kind:
        return column, bad
    pieces: list[pa.Array] = []
    _convert(column, kind, 0, bad, pieces)
    return pa.concat_arrays(pieces) if pieces else pa.nulls(0, kind), bad


def guess(texts: pa.Array) -> pa.DataType:
    """The type that most of some texts are; text where they are nothing else.

    Order values are numbers or times: no other type is thought of.
    """
    best, most = pa.string(), 0
    for kind in (kind for line in _LINES for kind in line):
        values, _ = read_cells(texts, kind)
        fitting = len(values) - values.null_count
        if fitting > most:
            best, most = kind, fitting
    return best


def wider(kind: pa.DataType, texts: pa.Array) -> pa.DataType | None:
    """A type that takes what `kind` takes, and more of some texts; None where there is none."""
    fitting = len(texts) - read_cells(texts, kind)[0].null_count
    for other in _next(kind):
        if len(texts) - read_cells(texts, other)[0].null_count > fitting:
            return other
    return None


def _next(kind: pa.DataType) -> Sequence[pa.DataType]:
    return next((line[line.index(kind) + 1 :] for line in _LINES if kind in line), ())


def _convert(
    column: pa.Array,
    kind: pa.DataType,
    start: int,
    bad: NDArray[np.bool_],
    pieces: list[pa.Array],
) -> None:
    """Halves a column until what can't be converted stands alone."""
    if len(column) == 0:
        return
    try:
        pieces.append(column.cast(kind, safe=False))
    except pa.ArrowException:
        if len(column) == 1:
            bad[start] = True
            pieces.append(pa.nulls(1, kind))
            return
        half = len(column) // 2
        _convert(column.slice(0, half), kind, start, bad, pieces)
        _convert(column.slice(half), kind, start + half, bad, pieces)
