"""Columns as numbers, orders, classes, labels and weights, checked cell by cell.

Owns what a cell may hold. Knows nothing of sequences.
"""

import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.data.table import Table, TableFile
from training.errors import DataError

# Above it, features are kept in a temporary file, which the system holds in memory as far as there
# is room.
_MOST_IN_MEMORY_BYTES = 1 << 30


def read_features(
    file: TableFile, names: tuple[str, ...], places: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Input columns side by side, (rows, columns), block by block.

    Args:
        file: the table.
        names: of the columns.
        places: where each row of the file goes, (rows,).

    Raises:
        DataError: a cell is missing, is not a finite number, or does not fit float32.
    """
    features = _room((file.rows, len(names)))
    for block in file.blocks(list(names)):
        rows = slice(block.first, block.first + block.rows.num_rows)
        features[places[rows]] = _read_block(block, names)
    return features


def _room(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Room for numbers, in memory or in a file without a name that ends with the process."""
    if shape[0] * shape[1] * 4 <= _MOST_IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


def _read_block(table: Table, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Input columns of some rows, (rows, columns)."""
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
    """The classes, sorted, and the index of each row's class, (rows,); -1 where it is missing.

    Raises:
        DataError: the column holds decimal numbers, only one class, or nothing at all.
    """
    column, missing = _optional(table, name)
    kind = column.type
    if not (_is_text(column) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise DataError(
            f"{table.path}: target column '{name}' holds {kind}; "
            "classes have to be text or whole numbers"
        )
    labels, present = np.unique(_to_numpy(column.drop_null()), return_inverse=True)
    if len(labels) == 1:
        raise DataError(
            f"{table.path}: target column '{name}' holds a single class, {str(labels[0])!r}; "
            "a classifier needs at least two"
        )
    targets = np.full(len(missing), -1, np.int64)
    targets[~missing] = present
    return tuple(str(label) for label in labels), targets


def read_values(table: Table, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Target numbers side by side, (rows, columns); NaN where they are missing.

    Raises:
        DataError: a cell is not a finite number, or a column holds nothing at all.
    """
    columns = [_parse(table, name, *_optional(table, name)) for name in names]
    return np.stack(columns, axis=1).astype(np.float32)


def read_labels(table: Table, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Target labels side by side, 0 or 1, (rows, columns); NaN where they are missing.

    Raises:
        DataError: a cell is something else, or a column holds nothing at all.
    """
    values = read_values(table, names)
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise table.fault(names[column], int(row), f"{values[row, column]} must be 0, 1 or empty")
    return values


def read_weights(table: Table, name: str) -> NDArray[np.float32]:
    """How much each row's target counts, (rows,).

    Raises:
        DataError: a cell is missing, or is not a finite number of at least 0.
    """
    weights = _numbers(table, name)
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise table.fault(name, row, f"{weights[row]} is a weight below 0; correct it")
    return weights.astype(np.float32)


def read_names(table: Table, name: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Identifiers as text by first appearance, and the index of each row's, (rows,).

    Raises:
        DataError: a cell is missing.
    """
    coded = _complete(table, name).dictionary_encode().unify_dictionaries()
    names = tuple(str(value) for value in coded.chunk(0).dictionary.to_pylist())
    codes = [chunk.indices.to_numpy() for chunk in coded.chunks]
    return names, np.concatenate(codes).astype(np.int64)


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    """A column as finite numbers."""
    column = _complete(table, name)
    return _parse(table, name, column, np.zeros(len(column), bool))


def _parse(
    table: Table, name: str, column: pa.ChunkedArray, missing: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Cells as finite numbers, (rows,); NaN where they are missing."""
    if _is_text(column):
        column = pc.utf8_trim_whitespace(column)
    try:
        values = _to_numpy(pc.cast(column, pa.float64(), safe=False))
    except pa.ArrowNotImplementedError:
        raise DataError(f"{table.path}: column '{name}' holds {column.type}, not numbers") from None
    except pa.ArrowInvalid:
        cells = enumerate(column.to_pylist())
        row, text = next(
            (row, text) for row, text in cells if not missing[row] and not _is_number(text)
        )
        raise table.fault(name, row, f"{text!r} is not a number; correct it") from None
    infinite = ~np.isfinite(values) & ~missing
    if infinite.any():
        row = int(infinite.argmax())
        raise table.fault(name, row, f"{values[row]} is not a finite number; correct it")
    return values


def _complete(table: Table, name: str) -> pa.ChunkedArray:
    """A column in which no cell is missing."""
    column, missing = _plain(table, name)
    if missing.any():
        row = int(missing.argmax())
        raise table.fault(name, row, "the cell is empty; fill it in or remove the row")
    return column


def _optional(table: Table, name: str) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    """A column in which cells may be missing, as nulls, and which are, (rows,)."""
    column, missing = _plain(table, name)
    if missing.all():
        raise DataError(f"{table.path}: target column '{name}' is empty in every row; fill it in")
    return pc.if_else(pa.array(missing), pa.scalar(None, column.type), column), missing


def _plain(table: Table, name: str) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    """A column without dictionary, and which cells are missing, (rows,)."""
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    missing = pc.equal(column, "") if _is_text(column) else pc.is_null(column, nan_is_null=True)
    return column, _to_numpy(pc.fill_null(missing, True))


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
