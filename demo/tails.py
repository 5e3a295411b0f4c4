"""The held-out tails of the recordings, as arrays.

Owns the reading of the demo's tables. Knows nothing of models.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns."""

    entity: str
    order: str
    target: str


@dataclass(frozen=True)
class Tails:
    """One sequence an entity.

    Attributes:
        inputs: entity to (steps, features).
        targets: entity to the true label of each step, (steps,).
    """

    inputs: dict[str, Float32]
    targets: dict[str, list[str]]

    @property
    def steps(self) -> int:
        """Steps of all tails together."""
        return sum(len(inputs) for inputs in self.inputs.values())


def read_tails(path: Path, columns: Columns, features: tuple[str, ...]) -> Tails:
    """Tails by entity, in their order."""
    groups = _by_entity(pq.read_table(path), columns)
    return Tails(
        {entity: _matrix(table, features) for entity, table in groups.items()},
        {entity: table[columns.target].to_pylist() for entity, table in groups.items()},
    )


def read_outputs(path: Path, columns: Columns, outputs: tuple[str, ...]) -> dict[str, Float32]:
    """Outputs of a scored table by entity, each (steps, outputs)."""
    groups = _by_entity(pq.read_table(path), columns)
    return {entity: _matrix(table, outputs) for entity, table in groups.items()}


def _by_entity(table: pa.Table, columns: Columns) -> dict[str, pa.Table]:
    table = table.sort_by([(columns.entity, "ascending"), (columns.order, "ascending")])
    entities = np.asarray(table[columns.entity].to_pylist())
    names, starts = np.unique(entities, return_index=True)
    ends = [*starts[1:], len(entities)]
    return {
        str(name): table.slice(start, end - start)
        for name, start, end in zip(names, starts, ends, strict=True)
    }


def _matrix(table: pa.Table, names: tuple[str, ...]) -> Float32:
    return np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32)
