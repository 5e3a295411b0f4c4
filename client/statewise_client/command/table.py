"""A table with a recording in it.

Owns the picking of a model's features out of named columns, and of one recording out of many. Knows
nothing of file formats: rows in, steps out.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from statewise_client.errors import InputError


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        place: where it stands, for people: "line 7".
        cells: one a column.
    """

    place: str
    cells: Sequence[Any]


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        source: what it was read from, for messages.
        columns: their names.
        rows: reads on as it is iterated.
    """

    source: str
    columns: tuple[str, ...]
    rows: Iterator[Row]


@dataclass(frozen=True)
class Entity:
    """Which rows of a table are the recording: those whose `column` has `value`."""

    column: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The entity that COLUMN=VALUE names.

        Raises:
            InputError: it names none.
        """
        column, equals, value = text.partition("=")
        if not (column and equals and value):
            raise InputError(f"--entity {text}: write COLUMN=VALUE, such as recording=17")
        return cls(column, value)


@dataclass(frozen=True)
class Selection:
    """What of a table is the recording.

    Attributes:
        entity: which rows; None for all.
        order: the column that rises from step to step; None where the rows' order is trusted.
    """

    entity: Entity | None = None
    order: str | None = None


def select(table: Table, selection: Selection) -> Table:
    """The table with the recording's rows alone.

    Raises:
        InputError: a column is missing or there twice, at once; a cell does not come after the one
            above it, when its row is reached.
    """
    rows = table.rows
    if selection.entity is not None:
        rows = _of_entity(table, rows, selection.entity)
    if selection.order is not None:
        rows = rising(table, rows, place_of(table, selection.order))
    return replace(table, rows=rows)


def steps(table: Table, features: Sequence[str]) -> Iterator[NDArray[np.float64]]:
    """The table's steps, each (features,), in the order of its rows.

    Raises:
        InputError: a column is missing or there twice, at once; a cell is no finite number, when
            its row is reached.
    """
    return _numbers(table, [place_of(table, feature) for feature in features])


def _of_entity(table: Table, rows: Iterator[Row], entity: Entity) -> Iterator[Row]:
    key = place_of(table, entity.column)
    return (row for row in rows if str(row.cells[key]) == entity.value)


def rising(table: Table, rows: Iterator[Row], place: int) -> Iterator[Row]:
    """The same rows, each of which has to come after the one before.

    Raises:
        InputError: one does not, when it is reached.
    """
    before = None
    for row in rows:
        now = _sortable(row.cells[place])
        try:
            rises = now == now if before is None else bool(now > before)
        except TypeError:
            rises = False
        if not rises:
            raise InputError(
                f"{table.source}, {row.place}: column {table.columns[place]!r} is {now} after "
                f"{before}; sort the rows, or pick one recording of several with --entity"
            )
        before = now
        yield row


def _sortable(cell: Any) -> Any:
    """A number where the cell is one, or says one; times in text sort as they are."""
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def unused(table: Table, features: Sequence[str], selection: Selection) -> tuple[str, ...]:
    """The columns that are neither features nor the selection's."""
    entity = selection.entity
    used = {*features, entity.column if entity else None, selection.order}
    return tuple(column for column in table.columns if column not in used)


def place_of(table: Table, column: str) -> int:
    """Where a column stands.

    Raises:
        InputError: it is missing, or there twice.
    """
    count = table.columns.count(column)
    if count == 1:
        return table.columns.index(column)
    if count:
        raise InputError(f"{table.source}: column {column!r} is there {count} times; keep one")
    if len(table.columns) == 1 and ";" in table.columns[0]:
        raise InputError(
            f"{table.source}: its cells seem to be separated by ';'; separate them by ','"
        )
    nearest = get_close_matches(column, table.columns, n=1, cutoff=0)
    hint = f"the nearest is {nearest[0]!r}" if nearest else "it has no columns at all"
    raise InputError(f"{table.source}: there is no column {column!r}; {hint}")


def _numbers(table: Table, places: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    for row in table.rows:
        yield np.array([number_at(table, row, place) for place in places])


def number_at(table: Table, row: Row, place: int) -> float:
    """A cell as a number.

    Raises:
        InputError: it is no finite number.
    """
    cell = row.cells[place]
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{table.source}, {row.place}: column {table.columns[place]!r} is {cell!r}; write a "
            "finite number"
        )
    return number
