"""How an input is cut into tasks, none of which shares an entity with another.

Owns the look at keys alone that tells whether rows stand entity by entity in order, how many there
are, and where a task may end. Knows nothing of files.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.offline.sortable import sortable
from service.offline.steps import flags

_Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Rows that are scored as one: all rows of some entities.

    Attributes:
        start, stop: positions in the input; one entity may have more rows than a window.
    """

    start: int
    stop: int


@dataclass
class Planner:
    """Sees the keys of all rows, in order, and plans.

    Attributes:
        window: most rows of a task of several entities.
        is_sorted: whether every entity's rows stand together, entities and orders growing.
        entities: how many there are, as long as rows are sorted.
        tasks: those that are complete.
    """

    window: int
    is_sorted: bool = True
    entities: int = 0
    tasks: list[Task] = field(default_factory=list)
    _start: int = 0
    _edge: int = 0
    _before: tuple[pa.Array, pa.Array] | None = None

    def add(self, entities: pa.Array, order: pa.Array, positions: _Positions) -> None:
        """Takes the keys of some more rows.

        Args:
            entities: none missing.
            order: null where it is missing, which only sorting puts where it belongs.
            positions: where the rows stand, growing.
        """
        if not len(entities) or not self.is_sorted:
            return
        keys = sortable(entities), sortable(order)
        first = self._before is None
        if self._before is not None:
            keys = (
                pa.concat_arrays([self._before[0], keys[0]]),
                pa.concat_arrays([self._before[1], keys[1]]),
            )
        last = len(keys[0]) - 1
        self._before = (keys[0].slice(last), keys[1].slice(last))
        changes = self._compare(*keys)
        edges = positions[np.flatnonzero(changes) + (1 if first else 0)]
        if first:
            edges = np.concatenate([positions[:1], edges])
            self._start = self._edge = int(positions[0])
        self.entities += len(edges)
        self._cut(edges)

    def end(self, position: int) -> None:
        """Closes the last task where the rows end."""
        if self.entities == 0:
            return
        self._cut(np.array([position]))
        if self._start < position:
            self.tasks.append(Task(self._start, position))

    def _compare(self, entities: pa.Array, order: pa.Array) -> NDArray[np.bool_]:
        """Where one entity ends and another begins, (rows - 1,)."""
        there = slice(0, len(entities) - 1), slice(1, len(entities))
        before, after = entities[there[0]], entities[there[1]]
        changes = flags(pc.not_equal(before, after))
        falls = flags(pc.less(after, before))
        back = flags(pc.less(order[there[1]], order[there[0]])) & ~changes
        if falls.any() or back.any() or order.null_count:
            self.is_sorted = False
        return changes

    def _cut(self, edges: _Positions) -> None:
        """Closes tasks before they outgrow a window, at the last edge that fits."""
        while True:
            fitting = int(np.searchsorted(edges, self._start + self.window, side="right"))
            if fitting:
                self._edge = max(self._edge, int(edges[fitting - 1]))
            if fitting == len(edges):
                return
            cut = self._edge if self._edge > self._start else int(edges[fitting])
            self.tasks.append(Task(self._start, cut))
            self._start = self._edge = cut
