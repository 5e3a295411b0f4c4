"""Which rows of a table are the steps of one entity, and that they are in order.

Owns the grouping and the check that order values grow. Knows nothing of features or models.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.errors import TableError
from service.offline.table import Table, shown

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Sequences:
    """The rows of a table, entity by entity.

    Attributes:
        rows: row numbers, the steps of an entity one after the other, (rows,).
        starts: where each entity begins in `rows`, (entities,).
        lengths: steps of each entity, at least one, (entities,).
    """

    rows: Indices
    starts: Indices
    lengths: Indices


def group(table: Table) -> Sequences:
    """Groups rows by entity; rows of different entities may stand in any company.

    Raises:
        TableError: the order values of an entity do not grow from row to row.
    """
    encoded = table.entities.dictionary_encode()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    rows = np.argsort(codes, kind="stable")
    _check_order(table, rows, codes[rows])
    lengths = np.bincount(codes)
    return Sequences(rows, np.cumsum(lengths) - lengths, lengths)


def _check_order(table: Table, rows: Indices, codes: NDArray[np.int32]) -> None:
    order = table.order.take(pa.array(rows))
    stuck = pc.less_equal(order.slice(1), order.slice(0, len(order) - 1)).to_numpy()
    wrong = np.flatnonzero(stuck & (codes[1:] == codes[:-1]))
    if wrong.size == 0:
        return
    # The first in the file, for whoever reads the file from its beginning.
    step = wrong[rows[wrong + 1].argmin()]
    before, value = shown(order[step]), shown(order[step + 1])
    columns = table.columns
    fault = (
        f"is {value} twice; keep one row of each"
        if before == value
        else f"is {value} after {before}; sort the file by {columns.entity} and {columns.order}"
    )
    raise TableError(f"{table.place(int(rows[step + 1]), columns.order)}: {fault}")
