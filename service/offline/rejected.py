"""Rows that are not scored: what is told of them, and the table that keeps them.

Owns the form of that table and the sentence that refuses a row. Knows nothing of when a row is
refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from service.errors import TableError
from service.offline.columns import Columns, shown
from service.offline.steps import Block

OnError = Literal["fail", "skip-entity", "quarantine"]
_PLACE = ("file", "row")
_FAULT = ("column", "problem")


@dataclass(frozen=True)
class Homeless:
    """A row that belongs to no entity.

    Attributes:
        file: its path.
        row: its number there, told from 1.
        column: where its fault is.
        problem: what it is.
    """

    file: Path
    row: int
    column: str
    problem: str

    def error(self, on_error: OnError) -> TableError:
        """Its refusal."""
        hint = (
            "; nobody knows whose it is: mend it, or take --on-error quarantine"
            if on_error == "skip-entity"
            else ""
        )
        where = f", column {self.column!r}, entity None" if self.column else ""
        return TableError(f"{self.file}: row {self.row}{where}: {self.problem}{hint}")


def schema(columns: Columns, entity: pa.DataType, order: pa.DataType) -> pa.Schema:
    """Columns of the table: the place of a row, its keys, its fault, its numbers."""
    fields = [("file", pa.string()), ("row", pa.int64())]
    fields += [("column", pa.string()), ("problem", pa.string())]
    # A feature may be the entity or the order too, and may be called as one of the above is.
    names = {name for name, _ in fields}
    for name, kind in ((columns.entity, entity), (columns.order, order)):
        fields.append((_free(name, names), kind))
    for name in columns.features:
        fields.append((_free(name, names), pa.float32()))
    return pa.schema(fields)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def of_block(block: Block, files: Sequence[Path], form: pa.Schema) -> pa.RecordBatch:
    """The rows of a block, all of which have a fault, as the table keeps them."""
    # Arrow keeps a NaN as it is; so does the table.
    return pa.record_batch(
        [
            pa.array([str(files[file]) for file in block.files.tolist()], pa.string()),
            pa.array(block.numbers),
            block.columns,
            block.problems,
            block.entities.cast(form.field(4).type),
            block.order,
            *(pa.array(np.ascontiguousarray(column)) for column in block.features.T),
        ],
        schema=form,
    )


def of_homeless(rows: Sequence[Homeless], form: pa.Schema) -> pa.RecordBatch:
    """Rows without an entity as the table keeps them."""
    told: list[list[object]] = [
        [str(row.file) for row in rows],
        [row.row for row in rows],
        [row.column or None for row in rows],
        [row.problem for row in rows],
    ]
    others = len(form) - len(told)
    arrays = [pa.array(values, form.field(i).type) for i, values in enumerate(told)]
    arrays += [pa.nulls(len(rows), form.field(len(told) + i).type) for i in range(others)]
    return pa.record_batch(arrays, schema=form)


def error(block: Block, row: int, files: Sequence[Path]) -> TableError:
    """The refusal of one row of a block, which has a fault."""
    return TableError(
        f"{place(block, row, block.columns[row].as_py(), files)}: {block.problems[row].as_py()}"
    )


def place(block: Block, row: int, column: str, files: Sequence[Path]) -> str:
    """Where a value stands, as the beginning of a message; rows are told from 1, no header."""
    return (
        f"{files[block.files[row]]}: row {block.numbers[row]}, column {column!r}, "
        f"entity {shown(block.entities[row])}"
    )
