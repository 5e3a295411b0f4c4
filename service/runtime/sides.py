"""Packed rows on one side, arrays in the graph's shape on the other.

Owns the buffers in which a call finds its tensors and leaves them. Where the rows are the graph's
one tensor, both are the same memory. Knows nothing of sessions.
"""

import numpy as np

from service.tensors import Array, Layout


class Side:
    """Buffers of what goes into a call, or of what comes out.

    Attributes:
        layout: how tensors stand in a row.
        rows: packed rows, (max_batch, width).
    """

    def __init__(self, layout: Layout, max_batch: int) -> None:
        """Allocates zeros for so many rows."""
        self.layout = layout
        self.rows = layout.rows(max_batch)
        whole = layout.whole
        self._flat = [
            None if whole else np.zeros(tensor.size * max_batch, tensor.dtype)
            for tensor in layout.tensors
        ]

    def pairs(self, rows: int) -> list[tuple[Array, Array | None]]:
        """For each tensor the array in the graph's shape, and the packed rows where they differ.

        The second has the first's order of axes, so that one can be copied to the other.
        """
        found: list[tuple[Array, Array | None]] = []
        for index, (tensor, flat) in enumerate(zip(self.layout.tensors, self._flat, strict=True)):
            shape = tensor.of_rows(rows)
            if flat is None:
                found.append((self.rows[:rows].reshape(shape), None))
                continue
            packed = self.layout.view(self.rows[:rows], index)
            ordered = (
                packed[0]
                if tensor.batch_axis is None
                else np.moveaxis(packed, 0, tensor.batch_axis)
            )
            found.append((flat[: tensor.size * rows].reshape(shape), ordered))
        return found
