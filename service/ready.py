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
    """

    __slots__ = (
        "_answers",
        "_block",
        "_row",
        "dropped",
        "error",
        "future",
        "inputs",
        "queued",
        "slot",
        "steps",
        "taken",
        "then",
    )

    def __init__(
        self, slot: int, inputs: Array, then: "Callable[[Ready], None] | None" = None
    ) -> None:
        self.slot = slot
        self.inputs = inputs
        self.steps = len(inputs)
        self.taken = 0
        self.error: ServiceError | None = None
        self.dropped = False
        self.queued = 0
        self.future: asyncio.Future[Array] | None = None
        self.then = then
        self._block: Array | None = None
        self._row = 0
        self._answers: list[Array] | None = None

    def answer(self, block: Array, row: int) -> bool:
        """Takes the answer to its next step, a row of a block; returns whether it was the last."""
        self.taken += 1
        if self.steps == 1:
            # Cut out of its batch only if somebody asks for it.
            self._block, self._row = block, row
            return True
        if self._answers is None:
            self._answers = []
        self._answers.append(block[row])
        return self.taken == self.steps

    def joined(self) -> Array:
        """All outputs, (steps, output width)."""
        if self._block is not None:
            return self._block[self._row : self._row + 1]
        assert self._answers is not None
        return np.stack(self._answers)


def settle(done: Sequence[Ready]) -> None:
    """Tells each chunk's own listener; one that fails is no other's affair."""
    for ready in done:
        if ready.then is not None and not ready.dropped:
            try:
                ready.then(ready)
            except Exception:
                _log.exception("an answer could not be handed on")
