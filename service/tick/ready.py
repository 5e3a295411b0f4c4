"""A step on its way through the tick, and how whoever sent it learns what came of it.

Owns the unit in which batches come in and go out, and the walk of a chunk of many steps, which puts
its next step once the last is answered. Knows nothing of how they are computed.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from service.errors import ServiceError
from service.tensors import Array

_log = logging.getLogger(__name__)
# Packed rows as bytes; `array.data` is an array's.
Buffer = bytes | memoryview


class Ready:
    """A stream's step that can be taken.

    Attributes:
        slot: row of its stream in the arena.
        inputs: one packed row of finite numbers.
        then: is told when it is delivered, where somebody wants to know of it alone.
        error: why it came to nothing.
        dropped: set where nobody waits for it any more; it is not taken then.
        steps: of the chunk that is answered with it.
        block, row: where the answers to these steps stand, once it is delivered without an error.
    """

    # Defaults of the class, since one is made for every message and most never change them.
    error: ServiceError | None = None
    dropped = False
    steps = 1
    block: Array | None = None
    row = 0

    def __init__(
        self, slot: int, inputs: Buffer, then: "Callable[[Ready], None] | None" = None
    ) -> None:
        self.slot = slot
        self.inputs = inputs
        self.then = then

    def joined(self) -> Array:
        """All outputs in packed rows, (steps, output width)."""
        assert self.block is not None
        return self.block[self.row : self.row + self.steps]

    def by_step(self) -> Array:
        """All outputs, (steps, outputs of a step)."""
        return self.joined()


class Whole(Ready):
    """A chunk of many steps that is one call."""

    def __init__(
        self, slot: int, inputs: Buffer, steps: int, then: "Callable[[Ready], None] | None" = None
    ) -> None:
        super().__init__(slot, inputs, then)
        self.steps = steps

    def joined(self) -> Array:
        """All outputs in one packed row, (1, width of so many steps)."""
        assert self.block is not None
        return self.block[self.row : self.row + 1]

    def by_step(self) -> Array:
        """All outputs, (steps, outputs of a step)."""
        return self.joined().reshape(self.steps, -1)


def settle(done: Sequence[Ready], outputs: Array) -> None:
    """Tells each step's own listener; one that fails is no other's affair.

    Args:
        done: steps that were taken, or came to nothing.
        outputs: row i answers `done[i]`, (steps, output width).
    """
    for row, ready in enumerate(done):
        if ready.then is not None and not ready.dropped:
            # Cut out of its batch only if somebody asks for it.
            ready.block, ready.row = outputs, row
            try:
                ready.then(ready)
            except Exception:
                _log.exception("an answer could not be handed on")


class Walk:
    """A chunk of many steps, of which one is ready at a time.

    Attributes:
        ready: its step that is queued or under way, and in the end all of them.
    """

    def __init__(
        self,
        slot: int,
        inputs: Buffer,
        steps: int,
        *,
        put: Callable[[Sequence[Ready]], None],
        then: Callable[[Ready], None],
    ) -> None:
        """Starts at the first step; nothing is put yet.

        Args:
            slot: row of its stream in the arena.
            inputs: packed rows of finite numbers, one a step.
            steps: how many.
            put: queues a step.
            then: is told once, when all are answered or one has failed.
        """
        self._rows = memoryview(inputs).cast("B")
        self._size = len(self._rows) // steps
        self._taken = 0
        self._put = put
        self._then = then
        self.ready = Ready(slot, self._rows[: self._size], self._on_answer)
        self.ready.steps = steps
        self._outputs: Array | None = None

    def _on_answer(self, ready: Ready) -> None:
        if ready.error is None:
            assert ready.block is not None
            answer = ready.block[ready.row]
            if self._outputs is None:
                self._outputs = np.empty((ready.steps, *answer.shape), answer.dtype)
            self._outputs[self._taken] = answer
            self._taken += 1
            if self._taken < ready.steps:
                start = self._taken * self._size
                ready.inputs = self._rows[start : start + self._size]
                self._put((ready,))
                return
            ready.block, ready.row = self._outputs, 0
        # They point to each other: the chunk would stay until garbage is looked for.
        ready.then = None
        self._then(ready)
