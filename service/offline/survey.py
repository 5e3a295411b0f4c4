"""A look at the keys of all rows, before anything is computed.

Owns what it finds: types, counts, where files begin, rows without an entity, and the plan of tasks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from service.errors import TableError
from service.offline import columns as names
from service.offline.cells import guess, read_cells, wider
from service.offline.columns import Columns
from service.offline.inputs import Inputs, Piece
from service.offline.plan import Planner
from service.offline.ranges import Sample
from service.offline.rejected import Homeless, OnError
from service.offline.separated import BrokenLine, CsvSource
from service.offline.steps import missing, plain

Report = Callable[[int], object]


class _Widened(Exception):
    """The order is of a wider type than was thought."""

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind


@dataclass(frozen=True)
class Survey:
    """What a look at the keys found.

    Attributes:
        entity_type, order_type: of the keys; the order of a CSV file is guessed.
        offsets: position of each file's first row, and of the end, (files + 1,).
        homeless: rows without an entity, which no task scores.
        plan: tasks, and whether rows are sorted.
        sample: entities of some rows.
    """

    entity_type: pa.DataType
    order_type: pa.DataType
    offsets: tuple[int, ...]
    homeless: tuple[Homeless, ...]
    plan: Planner
    sample: Sample

    @property
    def rows(self) -> int:
        """All rows, those without an entity included."""
        return self.offsets[-1]


def check(inputs: Inputs, columns: Columns) -> tuple[pa.DataType, pa.DataType]:
    """Checks the columns of every file; returns the types of entity and order.

    Raises:
        TableError: a column is missing, or of a type that it can't have.
    """
    types: list[pa.DataType] = []
    for number, file in enumerate(inputs.files):
        names.check(file.path, inputs.names_of(number), columns)
        keys = [
            names.decoded(inputs.type_of(number, name)) for name in (columns.entity, columns.order)
        ]
        is_csv = isinstance(file, CsvSource)
        _check_keys(file.path, columns, keys, is_csv)
        types = types or keys
        for name, kind, first in zip((columns.entity, columns.order), keys, types, strict=True):
            if kind != first:
                raise names.wrong_type(file.path, name, kind, f"{first}, as in the first file")
        for name in columns.features:
            kind = names.decoded(inputs.type_of(number, name))
            if not (names.is_number(kind) or (is_csv and names.is_text(kind))):
                raise names.wrong_type(file.path, name, kind, "numbers")
    return types[0], types[1]


def look(
    inputs: Inputs, columns: Columns, on_error: OnError, window: int, report: Report
) -> Survey:
    """Looks at the keys of all rows.

    Args:
        inputs: the files.
        columns: their columns.
        on_error: whether a row without an entity ends it.
        window: most rows of a task.
        report: is told how many rows were looked at since it was last told.

    Raises:
        TableError: a column can't be what it is for, there are no rows, or a row has no entity and
            may not be left out.
    """
    entity_type, order_type = check(inputs, columns)
    if names.is_text(order_type):
        order_type = _guessed(inputs, columns)
    while True:
        try:
            survey = _look(inputs, columns, (entity_type, order_type), on_error, window, report)
        except _Widened as found:
            order_type = found.kind
            continue
        if survey.rows == 0:
            raise TableError(f"{inputs.path}: has no rows; give a file with one step or more")
        return survey


def _check_keys(path: object, columns: Columns, keys: list[pa.DataType], is_csv: bool) -> None:
    entity, order = keys
    if not (is_csv and names.is_text(order)):
        names.check_types(path, columns, entity, order)  # type: ignore[arg-type]


def _guessed(inputs: Inputs, columns: Columns) -> pa.DataType:
    for piece in inputs.pieces([columns.order], 0, 0):
        texts = piece.rows.column(0)
        kind = guess(texts)
        if names.is_text(kind) and texts.null_count < len(texts):
            path = inputs.files[piece.file].path
            raise names.wrong_type(path, columns.order, kind, "numbers or times")
        if not names.is_text(kind):
            return kind
    return pa.int64()


def _look(
    inputs: Inputs,
    columns: Columns,
    types: tuple[pa.DataType, pa.DataType],
    on_error: OnError,
    window: int,
    report: Report,
) -> Survey:
    plan, sample, homeless = Planner(window), Sample(), list[Homeless]()
    listen(inputs, partial(_keep_broken, homeless, inputs, on_error))
    offsets, ends = [0], 0
    keys = list(dict.fromkeys((columns.entity, columns.order)))
    for piece in inputs.pieces(keys, 0, 0):
        while len(offsets) <= piece.file:
            offsets.append(ends)
        positions = offsets[piece.file] + piece.first + np.arange(len(piece.rows))
        entities = plain(piece.rows.column(columns.entity))
        lost = missing(entities)
        for row in _without_entity(inputs, columns, piece, lost):
            _keep(homeless, row, on_error)
        order = _ordered(plain(piece.rows.column(columns.order)), types[1])
        there = pa.array(~lost)
        entities = entities.filter(there)
        plan.add(entities, order.filter(there), positions[~lost])
        sample.add(entities)
        ends = offsets[piece.file] + piece.first + len(piece.rows)
        report(len(piece.rows))
    offsets += [ends] * (len(inputs.files) + 1 - len(offsets))
    plan.end(ends)
    return Survey(*types, tuple(offsets), tuple(homeless), plan, sample)


def listen(inputs: Inputs, tell: Callable[[int, BrokenLine], None]) -> None:
    """Lets somebody know of lines that are no rows, which are left out then."""
    for number, file in enumerate(inputs.files):
        if isinstance(file, CsvSource):
            file.on_broken = partial(tell, number)


def _ordered(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    values, bad = read_cells(cells, kind)
    if bad.any() and (other := wider(kind, cells.filter(pa.array(bad)))):
        raise _Widened(other)
    # NaN is no order; null says so to whoever compares.
    return pa.array(values, mask=missing(values)) if pa.types.is_floating(kind) else values


def _keep_broken(
    homeless: list[Homeless], inputs: Inputs, on_error: OnError, file: int, line: BrokenLine
) -> None:
    row = Homeless(inputs.files[file].path, line.row, "", line.problem)
    _keep(homeless, row, on_error)


def _keep(homeless: list[Homeless], row: Homeless, on_error: OnError) -> None:
    if on_error != "quarantine":
        raise row.error(on_error)
    homeless.append(row)


def _without_entity(
    inputs: Inputs, columns: Columns, piece: Piece, lost: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Iterator[Homeless]:
    path = inputs.files[piece.file].path
    for row in np.flatnonzero(lost).tolist():
        yield Homeless(
            path,
            piece.first + row + 1,
            columns.entity,
            "is missing; fill it in, or leave the row out",
        )
