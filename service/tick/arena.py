"""The streams' states: one row each in one preallocated array of the host.

Owns the rows, and the only place where one of them is set to its first value; which stream has
which is the slots' affair. Knows nothing of models or time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tensors import Array, items
from service.tick.slots import Slot, Slots


class Arena:
    """Rows of state, taken and given back.

    Attributes:
        rows: (capacity, state size); a row is written by its stream's ticks alone.
        slots: which stream has which row.
    """

    def __init__(self, capacity: int, initial: Array) -> None:
        """Allocates all rows.

        Args:
            capacity: number of slots.
            initial: first state of every stream, (state size,).
        """
        self._initial = initial
        self.slots = Slots(capacity)
        self.rows: Array = np.tile(initial, (capacity, 1))
        self._items = items(self.rows)

    def acquire(self) -> Slot:
        """Takes a free slot and sets its state to the initial one.

        Raises:
            Exhausted: every slot is in use.
        """
        slot = self.slots.acquire()
        self.rows[slot.row] = self._initial
        return slot

    def read(self, rows: NDArray[np.intp]) -> Array:
        """A copy of the states of `rows`, (rows, state size)."""
        return self.rows[rows]

    def write(self, slot: Slot, state: Array) -> None:
        """Sets a slot's state to one that was kept, (state size,)."""
        self.rows[slot.row] = state

    def gather(self, slots: NDArray[np.intp], out: Array) -> None:
        """Copies the rows of `slots`, (batch,), into `out`, (batch, state size)."""
        # mode="clip" skips a bounds check that acquire has made true.
        self.rows.take(slots, axis=0, out=out, mode="clip")

    def scatter(self, slots: NDArray[np.intp], states: NDArray[Any]) -> None:
        """Copies `states`, (batch,) items of a row each, into the rows of `slots`, (batch,)."""
        self._items[slots] = states
