"""Columns as numbers, orders and classes, checked cell by cell.

Owns what a cell may hold. Knows nothing of sequences.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.data.table import Table
from training.errors import DataError


def read_features(table: Table, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Input columns side by side, (rows, columns).

    Raises:
        DataError: a cell is missing, is not a finite number, or does not fit float32.
    """
    features = np.empty((table.rows.num_rows, len(names)), np.float32)
    for index, name in enumerate(names):
        values = _numbers(table, name)
        with np.errstate(over="ignore"):
            features[:, index] = values
        overflow = np.isinf(features[:, index])
        if overflow.any():
            row = int(overflow.argmax())
            raise table.fault(name, row, f"{values[row]} does not fit a 32-bit float; rescale it")
    return features


def read_order(table: Table, name: str) -> NDArray[Any]:
    """The values that rows are ordered by: whole numbers, decimal numbers or times, (rows,).

    Raises:
        DataError: a cell is missing, or is neither a number nor a time.
    """
    column = _complete(table, name)
    if _is_text(column):
        for kind in (pa.int64(), pa.timestamp("us")):
            try:
                return _to_numpy(pc.cast(pc.utf8_trim_whitespace(column), kind))
            except pa.ArrowInvalid:
                continue
    if pa.types.is_integer(column.type) or pa.types.is_temporal(column.type):
        return _to_numpy(column)
    return _numbers(table, name)


def read_classes(table: Table, name: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes, sorted, and the index of each row's class, (rows,).

    Raises:
        DataError: a cell is missing, the column holds decimal numbers, or only one class.
    """
    column = _complete(table, name)
    kind = column.type
    if not (_is_text(column) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise DataError(
            f"{table.path}: target column '{name}' holds {kind}; "
            "classes have to be text or whole numbers"
        )
    labels, targets = np.unique(_to_numpy(column), return_inverse=True)
    if len(labels) == 1:
        raise DataError(
            f"{table.path}: target column '{name}' holds a single class, {str(labels[0])!r}; "
            "a classifier needs at least two"
        )
    return tuple(str(label) for label in labels), targets.astype(np.int64)


def read_names(table: Table, name: str) -> NDArray[Any]:
    """Identifiers as text, (rows,).

    Raises:
        DataError: a cell is missing.
    """
    return np.array([str(value) for value in _complete(table, name).to_pylist()])


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    """A column as finite numbers."""
    column = _complete(table, name)
    if _is_text(column):
        column = pc.utf8_trim_whitespace(column)
    try:
        values = _to_numpy(pc.cast(column, pa.float64(), safe=False))
    except pa.ArrowNotImplementedError:
        raise DataError(f"{table.path}: column '{name}' holds {column.type}, not numbers") from None
    except pa.ArrowInvalid:
        row, text = next(cell for cell in enumerate(column.to_pylist()) if not _is_number(cell[1]))
        raise table.fault(name, row, f"{text!r} is not a number; correct it") from None
    infinite = ~np.isfinite(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise table.fault(name, row, f"{values[row]} is not a finite number; correct it")
    return values


def _complete(table: Table, name: str) -> pa.ChunkedArray:
    """A column in which no cell is missing."""
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    missing = pc.equal(column, "") if _is_text(column) else pc.is_null(column, nan_is_null=True)
    row = pc.index(pc.fill_null(missing, True), True).as_py()
    if row >= 0:
        raise table.fault(name, row, "the cell is empty; fill it in or remove the row")
    return column


def _is_text(column: pa.ChunkedArray) -> bool:
    return column.type in (pa.string(), pa.large_string())


def _is_number(text: str) -> bool:
    try:
        pc.cast(pa.scalar(text), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.asarray(column.to_numpy())
