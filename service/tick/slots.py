"""Slots: which stream has which row, for as long as it lasts.

Owns rows that are free and generations of those that are not. A slot is known by row and
generation, so that a late cancel, an idle sweep and a close can never free it twice or hand it to
two streams. Knows nothing of what stands in a row.
"""

from typing import NamedTuple

from service.errors import Exhausted, soon


class Slot(NamedTuple):
    """A row, as long as its generation lasts."""

    row: int
    generation: int


class Slots:
    """Rows, taken and given back."""

    def __init__(self, capacity: int) -> None:
        """Starts with every row free."""
        self._generations = [0] * capacity
        # Taken from the end: the lowest free row first, so that a small load stays in cache.
        self._free = list(range(capacity - 1, -1, -1))

    @property
    def capacity(self) -> int:
        """Number of rows."""
        return len(self._generations)

    @property
    def taken(self) -> int:
        """Number of rows in use."""
        return self.capacity - len(self._free)

    def acquire(self) -> Slot:
        """Takes a free row.

        Raises:
            Exhausted: every row is in use.
        """
        if not self._free:
            raise exhausted(self.capacity)
        row = self._free.pop()
        return Slot(row, self._generations[row])

    def release(self, slot: Slot) -> bool:
        """Gives a row back; False if that was done before."""
        if self._generations[slot.row] != slot.generation:
            return False
        self._generations[slot.row] += 1
        self._free.append(slot.row)
        return True


def exhausted(capacity: int) -> Exhausted:
    """Every row is in use."""
    seconds = soon()
    return Exhausted(
        f"all {capacity} streams of this model are in use; try again in {seconds:.1f} s or another "
        "server, or raise --max-streams",
        reason="STREAMS_EXHAUSTED",
        retry_after=seconds,
        max_streams=capacity,
    )
