"""The recordings of a table, one after the other: all rows of one entity, then those of the next.

Owns the cutting of a table at its entities. Knows nothing of file formats or streams.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statewise_client.command.table import Row, Table, number_at, place_of, rising
from statewise_client.errors import InputError


@dataclass(frozen=True)
class Recording:
    """All steps of one entity.

    Attributes:
        entity: whose they are, as its cells say.
        order: when each was, as its cells say.
        steps: (steps, features).
    """

    entity: Any
    order: list[Any]
    steps: NDArray[np.float32]


def recordings(
    table: Table, features: Sequence[str], entity: str, order: str
) -> Iterator[Recording]:
    """The recordings of a table whose rows stand entity by entity; one is in memory at a time.

    Raises:
        InputError: a column is missing or there twice, at once; rows of an entity do not stand
            together or do not rise, or a cell is no finite number, when its row is reached.
    """
    owner, when = place_of(table, entity), place_of(table, order)
    places = [place_of(table, feature) for feature in features]
    return _cut(table, owner, when, places)


def _cut(table: Table, owner: int, when: int, places: Sequence[int]) -> Iterator[Recording]:
    seen: set[Any] = set()
    held: list[Row] = []
    for row in table.rows:
        if held and row.cells[owner] != held[0].cells[owner]:
            yield _recording(table, held, owner, when, places)
            held = []
        if not held:
            _begin(table, row, owner, seen)
        held.append(row)
    if held:
        yield _recording(table, held, owner, when, places)


def _begin(table: Table, row: Row, owner: int, seen: set[Any]) -> None:
    entity, column = row.cells[owner], table.columns[owner]
    if entity is None or entity == "":
        raise InputError(f"{table.source}, {row.place}: column {column!r} is empty; fill it in")
    if entity in seen:
        raise InputError(
            f"{table.source}, {row.place}: {column!r} is {entity} again after others; sort the "
            f"file by {column}"
        )
    seen.add(entity)


def _recording(
    table: Table, rows: Sequence[Row], owner: int, when: int, places: Sequence[int]
) -> Recording:
    ordered = list(rising(table, iter(rows), when))
    steps = [[number_at(table, row, place) for place in places] for row in ordered]
    return Recording(
        rows[0].cells[owner],
        [row.cells[when] for row in ordered],
        np.array(steps, np.float64).astype(np.float32),
    )
