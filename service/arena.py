"""The streams' states: one row each in one preallocated array.

Owns slots, their generations, and the only place where a state is set to its first value. A slot
is known by row and generation, so that a late cancel, an idle sweep and a close can never free it
twice or hand it to two streams. Knows nothing of models or time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import Exhausted
from service.tensors import Array

_RETRY_SECONDS = 1.0


class Slot(NamedTuple):
    """A row of the arena, as long as its generation lasts."""

    row: int
    generation: int


class Arena:
    """Rows of state, taken and given back.

    Attributes:
        rows: (capacity, state size); a row is written by its stream's ticks alone.
    """

    def __init__(self, capacity: int, initial: Array) -> None:
        """Allocates all rows.

        Args:
            capacity: number of slots.
            initial: first state of every stream, (state size,).
        """
        self._initial = initial
        self.rows: Array = np.tile(initial, (capacity, 1))
        self._generations = [0] * capacity
        # Taken from the end: the lowest free row first, so that a small load stays in cache.
        self._free = list(range(capacity - 1, -1, -1))

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return len(self._generations)

    @property
    def taken(self) -> int:
        """Number of slots in use."""
        return self.capacity - len(self._free)

    def acquire(self) -> Slot:
        """Takes a free slot and sets its state to the initial one.

        Raises:
            Exhausted: every slot is in use.
        """
        if not self._free:
            raise Exhausted(
                f"all {self.capacity} streams of this model are in use; try again in "
                f"{_RETRY_SECONDS:g} s or another server, or raise --max-streams",
                reason="STREAMS_EXHAUSTED",
                retry_after=_RETRY_SECONDS,
                max_streams=self.capacity,
            )
        row = self._free.pop()
        self.rows[row] = self._initial
        return Slot(row, self._generations[row])

    def release(self, slot: Slot) -> bool:
        """Gives a slot back; False if that was done before."""
        if self._generations[slot.row] != slot.generation:
            return False
        self._generations[slot.row] += 1
        self._free.append(slot.row)
        return True

    def gather(self, slots: NDArray[np.intp], out: Array) -> None:
        """Copies the rows of `slots`, (batch,), into `out`, (batch, state size)."""
        # mode="clip" skips a bounds check that acquire has made true.
        self.rows.take(slots, axis=0, out=out, mode="clip")

    def scatter(self, slots: NDArray[np.intp], states: Array) -> None:
        """Copies `states`, (batch, state size), into the rows of `slots`, (batch,)."""
        self.rows[slots] = states
