"""The file of answers: its columns, its metadata, and that it is replaced whole or not at all.

Owns the output's form. Knows nothing of how the answers were made.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from service.chunks import Float32
from service.errors import TableError
from service.offline.table import Columns, Table

PREDICTED = "predicted"
# Rows of a row group: what is copied at once on the way to the file.
_ROW_GROUP = 131_072


@dataclass(frozen=True)
class Answers:
    """What a model said to each row of a table.

    Attributes:
        channels: the names of its outputs.
        classes: whether they are classes that exclude each other; the column `predicted` then
            names the likeliest one of each row, the first where several are.
        values: (rows, outputs).
    """

    channels: tuple[str, ...]
    classes: bool
    values: Float32


def check_names(path: Path, columns: Columns, channels: Sequence[str], classes: bool) -> None:
    """Refuses an output in which two columns would have one name.

    Raises:
        TableError: names the column and where it comes from.
    """
    roles = [("--entity", columns.entity), ("--order", columns.order)]
    roles += [("an output of the model", channel) for channel in channels]
    if classes:
        roles.append(("the likeliest class", PREDICTED))
    seen: dict[str, str] = {}
    for role, name in roles:
        if name in seen:
            raise TableError(
                f"{path}: column {name!r} would be both {seen[name]} and {role}; rename one of them"
            )
        seen[name] = role


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Lets the block write a temporary file in the same folder, which then takes the place of path.

    If the block raises, `path` stays as it was. A folder that is missing is made.

    Raises:
        TableError: the file can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise TableError(
            f"{path}: can't be written: {error.strerror or error}; name another"
        ) from None


def write(file: BinaryIO, table: Table, answers: Answers, metadata: Mapping[str, str]) -> None:
    """Writes the keys of a table beside its answers, in the table's order.

    Args:
        file: takes Parquet.
        table: the steps.
        answers: one to each step.
        metadata: goes into the file's own.

    Raises:
        TableError: an answer is not finite.
    """
    schema = _schema(table, answers, metadata)
    # Dictionaries of answers, of which hardly two are equal, would take four times as long.
    repeated = [name for name in schema.names if name not in answers.channels]
    with parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeated) as writer:
        for start in range(0, len(answers.values), _ROW_GROUP):
            values = answers.values[start : start + _ROW_GROUP]
            _check_finite(table, answers, start, values)
            keys = [key.slice(start, len(values)) for key in (table.entities, table.order)]
            arrays = [*keys, *map(pa.array, values.T), *_predicted(answers, values)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _schema(table: Table, answers: Answers, metadata: Mapping[str, str]) -> pa.Schema:
    keys = [(table.columns.entity, table.entities.type), (table.columns.order, table.order.type)]
    channels = [(channel, pa.float32()) for channel in answers.channels]
    predicted = [(PREDICTED, pa.string())] if answers.classes else []
    return pa.schema([*keys, *channels, *predicted], metadata=dict(metadata))


def _predicted(answers: Answers, values: Float32) -> list[pa.Array]:
    if not answers.classes:
        return []
    return [pa.array(answers.channels).take(pa.array(values.argmax(axis=1)))]


def _check_finite(table: Table, answers: Answers, start: int, values: Float32) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    row, channel = divmod(int(finite.argmin()), finite.shape[1])
    raise TableError(
        f"{table.place(start + row, answers.channels[channel])}: the model answers "
        f"{values[row, channel]} to finite features; check their scale against the training data"
    )
