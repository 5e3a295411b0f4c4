"""Ranges of entities that have about as many rows each, for what can't be sorted at once.

Owns the drawing of the sample that tells where to cut. Knows nothing of how rows are sorted.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.offline.sortable import sortable
from service.offline.steps import flags

# Keys of a full sample; half of them are dropped then.
_MOST = 65_536


class Sample:
    """Entities of rows drawn at random, all rows alike: who has many rows is in it often."""

    def __init__(self) -> None:
        """Begins with every row."""
        # The same for the same rows, so that a second run cuts alike.
        self._random = np.random.default_rng(0)
        self._share = 1.0
        self._drawn: list[pa.Array] = []
        self._count = 0

    def add(self, entities: pa.Array) -> None:
        """Draws from some more rows, none of whose entities is missing."""
        drawn = np.flatnonzero(self._random.random(len(entities)) < self._share)
        self._drawn.append(sortable(entities.take(pa.array(drawn))))
        self._count += len(drawn)
        while self._count > _MOST:
            whole = pa.concat_arrays(self._drawn)
            kept = np.flatnonzero(self._random.random(len(whole)) < 0.5)
            self._drawn, self._count = [whole.take(pa.array(kept))], len(kept)
            self._share /= 2

    def bounds(self, ranges: int) -> pa.Array:
        """The first entity of each range but the first, growing, in the type that compares them.

        Fewer than were asked for where entities have more rows than a range should.
        """
        keys = pa.concat_arrays(self._drawn)
        ordered = keys.take(pc.sort_indices(keys))
        return pc.unique(ordered.take(pa.array(np.arange(1, ranges) * len(keys) // ranges)))


def range_of(entities: pa.Array, bounds: pa.Array) -> NDArray[np.intp]:
    """The number of each entity's range, (rows,)."""
    keys = sortable(entities)
    found = np.zeros(len(keys), np.intp)
    for bound in bounds:
        found += flags(pc.greater_equal(keys, bound))
    return found
