"""The steps of a file as a model may see them: every number there, and finite.

Owns finding columns by name and the checks of their values, each refused with the file, the row,
the column, the entity, the value and the remedy. Knows no formats, and no order among the steps.
"""

import difflib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from service.chunks import Float32
from service.errors import TableError
from service.offline.source import Source


@dataclass(frozen=True)
class Columns:
    """What a row is made of, by name.

    Attributes:
        entity: whose step it is.
        order: when it was, among the steps of its entity.
        features: what the model sees, in the order of its input.
    """

    entity: str
    order: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The steps of a file, in its order.

    Attributes:
        file: its path, for messages.
        columns: the names.
        entities: entity of each row, none missing.
        order: order value of each row, none missing.
        features: (rows, features), finite.
    """

    file: str
    columns: Columns
    entities: pa.ChunkedArray
    order: pa.ChunkedArray
    features: Float32

    def place(self, row: int, column: str) -> str:
        """Where a value stands, as the beginning of a message; rows are told from 1, no header."""
        entity = shown(self.entities[row])
        return f"{self.file}: row {row + 1}, column {column!r}, entity {entity}"


def shown(key: pa.Scalar) -> str:
    """A key as people write it: text in quotes, times in UTC."""
    if types.is_timestamp(key.type):
        # Without its zone, whose rules this machine may not have.
        key = key.cast(pa.timestamp(key.type.unit))
    text = key.cast(pa.string()).as_py()
    return repr(text) if _is_text(key.type) else str(text)


def read(source: Source, columns: Columns) -> Table:
    """Reads and checks a file; only a batch at a time is held in another form than float32.

    Raises:
        TableError: a column is missing or of a wrong type, a value is missing or not finite, or
            there are no rows.
    """
    _check_name(source, columns.entity, "name another with --entity")
    _check_name(source, columns.order, "name another with --order")
    for feature in columns.features:
        _check_name(source, feature, "the model needs it: add or rename it in the file")
    keys = source.keys(columns.entity, columns.order)
    if keys.num_rows == 0:
        raise TableError(f"{source.path}: has no rows; give a file with one step or more")
    table = Table(
        file=str(source.path),
        columns=columns,
        entities=_decoded(keys.column(columns.entity)),
        order=_decoded(keys.column(columns.order)),
        features=np.empty((keys.num_rows, len(columns.features)), np.float32),
    )
    _check_keys(table)
    _fill_features(table, source)
    return table


def _check_name(source: Source, name: str, remedy: str) -> None:
    found = source.names.count(name)
    if found == 0:
        near = difflib.get_close_matches(name, source.names, n=1, cutoff=0)
        hint = f" (the nearest is {near[0]!r})" if near else ""
        raise TableError(f"{source.path}: has no column {name!r}{hint}; {remedy}")
    if found > 1:
        raise TableError(
            f"{source.path}: has {found} columns {name!r}; keep one of them, or rename the others"
        )


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without its dictionaries, since every chunk may have one of its own."""
    if types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column


def _check_keys(table: Table) -> None:
    entity, order = table.columns.entity, table.columns.order
    if not _is_entity(table.entities.type):
        raise _wrong_type(table, entity, table.entities.type, "texts, numbers or times")
    if not _is_order(table.order.type):
        raise _wrong_type(table, order, table.order.type, "numbers or times")
    for name, column in ((entity, table.entities), (order, table.order)):
        row = pc.index(pc.is_null(column, nan_is_null=True), True).as_py()
        if row >= 0:
            raise TableError(
                f"{table.place(row, name)}: is missing; fill it in, or leave the row out"
            )


def _fill_features(table: Table, source: Source) -> None:
    start = 0
    for batch in source.batches(table.columns.features):
        rows = table.features[start : start + len(batch)]
        for index, name in enumerate(table.columns.features):
            column = batch.column(name)
            if not _is_number(column.type):
                raise _wrong_type(table, name, column.type, "numbers")
            numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            # Too large for float32 becomes infinity, which is refused below.
            with np.errstate(over="ignore"):
                rows[:, index] = numbers[: len(rows)]
        _check_finite(table, batch, start)
        start += len(batch)
    if start != len(table.features):
        raise TableError(f"{table.file}: changed while it was read; score it when it is finished")


def _check_finite(table: Table, batch: pa.RecordBatch, start: int) -> None:
    finite = np.isfinite(table.features[start : start + len(batch)])
    if finite.all():
        return
    row, index = divmod(int(finite.argmin()), finite.shape[1])
    name = table.columns.features[index]
    value = batch.column(name)[row].as_py()
    raise TableError(
        f"{table.place(start + row, name)}: is {'missing' if value is None else value}; give a "
        "finite float32 number, since anything else would stay in the entity's state for ever"
    )


def _wrong_type(table: Table, name: str, found: pa.DataType, wanted: str) -> TableError:
    return TableError(f"{table.file}: column {name!r} is of type {found}; convert it to {wanted}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _is_order(kind: pa.DataType) -> bool:
    # A text is no order: "10" stands before "9". Nor does Arrow compare half precision.
    comparable = _is_number(kind) and not types.is_float16(kind)
    return comparable or bool(types.is_temporal(kind) or types.is_null(kind))


def _is_entity(kind: pa.DataType) -> bool:
    return _is_text(kind) or bool(types.is_primitive(kind) or types.is_decimal(kind))
