"""A chunk on its way through the tick, and how whoever sent it learns what came of it.

Owns the unit in which batches come in and go out. Knows nothing of how they are computed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import numpy as np

from service.errors import ServiceError
from service.tensors import Array

_log = logging.getLogger(__name__)


class Ready:
    """A chunk that is ready for its steps.

    Attributes:
        slot: row of its stream in the arena.
        inputs: packed rows, (steps, input width), at least one step, finite.
        taken: steps so far; all of them when it is delivered without an error.
        error: why it came to nothing.
        dropped: set by whoever put it, where nobody waits for it any more.
        future: of a chunk that was submitted by itself.
        then: is told when it is delivered, where somebody wants to know of it alone.
        queued: when it was put, in nanoseconds.
        block, row: where its answers stand.
    """

    # Defaults of the class, since a chunk is made for every message and most never change them.
    taken = 0
    error: ServiceError | None = None
    dropped = False
    future: "asyncio.Future[Array] | None" = None
    queued = 0
    block: Array | None = None
    row = 0

    def __init__(
        self, slot: int, inputs: Array, then: "Callable[[Ready], None] | None" = None
    ) -> None:
        self.slot = slot
        self.inputs = inputs
        self.steps = len(inputs)
        self.then = then

    def answer(self, outputs: Array, row: int) -> bool:
        """Takes the answer to its next step, a row of a batch; returns whether it was the last."""
        if self.steps == 1:
            # Cut out of its batch only if somebody asks for it.
            self.taken, self.block, self.row = 1, outputs, row
            return True
        if self.block is None:
            self.block = np.empty((self.steps, outputs.shape[1]), outputs.dtype)
        self.block[self.taken] = outputs[row]
        self.taken += 1
        return self.taken == self.steps

    def joined(self) -> Array:
        """All outputs, (steps, output width)."""
        assert self.block is not None
        return self.block[self.row : self.row + self.steps]


def settle(done: Sequence[Ready]) -> None:
    """Tells each chunk's own listener; one that fails is no other's affair."""
    for ready in done:
        if ready.then is not None and not ready.dropped:
            try:
                ready.then(ready)
            except Exception:
                _log.exception("an answer could not be handed on")
