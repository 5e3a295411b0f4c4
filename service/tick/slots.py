"""Slots: which stream has which row, for as long as it lasts.

Owns rows that are free and generations of those that are not. A slot is known by row and
generation, so that a late cancel, an idle sweep and a close can never free it twice or hand it to
two streams. Knows nothing of what stands in a row.
"""

from typing import NamedTuple

from service.appointments import Appointments
from service.errors import Exhausted


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
        self._appointments = Appointments()

    @property
    def capacity(self) -> int:
        """Number of rows."""
        return len(self._generations)

    @property
    def taken(self) -> int:
        """Number of rows in use."""
        return self.capacity - len(self._free)

    def check_room(self) -> None:
        """Makes sure that a row is free.

        Raises:
            Exhausted: every row is in use.
        """
        if not self._free:
            seconds = self._appointments.next()
            raise Exhausted(
                f"all {self.capacity} streams of this model are in use; try again in "
                f"{seconds:.1f} s or another server, or raise --max-streams",
                reason="STREAMS_EXHAUSTED",
                retry_after=seconds,
                max_streams=self.capacity,
            )

    def acquire(self) -> Slot:
        """Takes a free row.

        Raises:
            Exhausted: every row is in use.
        """
        self.check_room()
        row = self._free.pop()
        return Slot(row, self._generations[row])

    def release(self, slot: Slot) -> bool:
        """Gives a row back; False if that was done before."""
        if self._generations[slot.row] != slot.generation:
            return False
        self._generations[slot.row] += 1
        self._free.append(slot.row)
        return True
