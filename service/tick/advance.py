"""One step of a batch of streams, whose states are found by slot and kept there again.

Owns the seam between the tick and whatever computes: on the host the states are gathered from an
arena into the engine's rows and scattered back; on a device they never leave it (`resident`). Says
which rows came out as numbers. Knows nothing of streams or time.
"""

from collections import OrderedDict
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.runtime.engine import Engine, StepEngine
from service.tensors import Array, Layout, items
from service.tick.arena import Arena
from service.tick.slots import Slot, Slots

# Callers send chunks of a length or two; each keeps buffers for its calls.
_LENGTHS_KEPT = 8


class Advance(Protocol):
    """What the tick needs.

    A Protocol, since states may stand in host memory or on a device.

    Attributes:
        max_batch: rows of a call at most.
        inputs: packed rows, (max_batch, width), written before `gather`.
        outputs: packed rows, (max_batch, width), read after `scatter`.
    """

    max_batch: int
    inputs: Array
    outputs: Array

    def gather(self, slots: NDArray[np.intp]) -> None:
        """Brings the states of `slots`, (batch,), to the first rows."""

    def step(self, rows: int) -> None:
        """Advances the first rows."""

    def scatter(self, slots: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Keeps the states after the step.

        Returns:
            Which rows' outputs and states are numbers throughout, (batch,); None where all are.
        """


class States(Protocol):
    """The streams' states, by slot.

    Attributes:
        slots: which stream has which.
    """

    slots: Slots

    def acquire(self) -> Slot:
        """Takes a free slot, whose state is the initial one.

        Raises:
            Exhausted: every slot is in use.
        """

    def read(self, rows: NDArray[np.intp]) -> Array:
        """A copy of the packed states of slots by their rows, (rows, state width).

        To be called while no step is under way.
        """

    def write(self, slot: Slot, state: Array) -> None:
        """Sets a slot's packed state, (state width,), while no step is under way."""


class HostAdvance:
    """States in host memory, beside an engine that takes them as rows."""

    def __init__(self, engine: StepEngine, arena: Arena, layouts: tuple[Layout, Layout]) -> None:
        """Takes an idle engine, which nobody else may use from now on.

        Args:
            engine: computes the steps.
            arena: holds the states.
            layouts: of outputs and states, which say where their numbers are.
        """
        self.max_batch = engine.max_batch
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.step = engine.step
        self._engine = engine
        self._arena = arena
        self._layouts = layouts
        self._quick = all(layout.all_floating for layout in layouts)
        self._marks = bytearray(engine.outputs.size + engine.next_states.size)
        self._heads: list[_Head | None] = [None] * (engine.max_batch + 1)

    def gather(self, slots: NDArray[np.intp]) -> None:
        """Brings the states of `slots`, (batch,), to the engine's first rows."""
        self._arena.gather(slots, self._head(len(slots)).states)

    def scatter(self, slots: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Keeps the states; says which rows are numbers throughout, None where all are."""
        head = self._head(len(slots))
        self._arena.scatter(slots, head.next_items)
        if self._quick and head.all_finite():
            return None
        outputs, states = self._layouts
        return both(outputs.finite(head.outputs), states.finite(head.next_states))

    def _head(self, rows: int) -> "_Head":
        head = self._heads[rows]
        if head is None:
            head = self._heads[rows] = _Head(self._engine, rows, self._marks)
        return head


class _Head:
    """The first rows of an engine's buffers: cut once for each batch size, and used again.

    Cutting them takes as long as copying a small batch.
    """

    __slots__ = ("_blocks", "_marks", "next_items", "next_states", "outputs", "states")

    def __init__(self, engine: StepEngine, rows: int, marks: bytearray) -> None:
        """Cuts them; `marks` is room for a byte for each number that comes out."""
        self.states = engine.states[:rows]
        self.outputs, self.next_states = engine.outputs[:rows], engine.next_states[:rows]
        self.next_items = items(self.next_states)
        self._marks = marks
        told = np.frombuffer(marks, np.bool_)
        middle, end = self.outputs.size, self.outputs.size + self.next_states.size
        self._blocks = (
            (self.outputs.reshape(-1), told[:middle]),
            (self.next_states.reshape(-1), told[middle:end]),
        )

    def all_finite(self) -> bool:
        """Whether outputs and next states, floating both, hold nothing but numbers."""
        end = 0
        for numbers, told in self._blocks:
            np.isfinite(numbers, told)
            end += told.size
        # Quicker than NumPy's own `all`, which asks in smaller pieces.
        return self._marks.find(0, 0, end) < 0


class ByLength:
    """Calls of whole chunks: an advance for each length, made when it first comes."""

    def __init__(self, engine: Engine, arena: Arena) -> None:
        """Starts without any; states are those of `arena`, whatever the length."""
        self._engine = engine
        self._arena = arena
        self._kept: OrderedDict[int, HostAdvance] = OrderedDict()

    def most(self, steps: int) -> int:
        """Chunks of so many steps that one call takes."""
        return self._engine.most(steps)

    def of(self, steps: int) -> HostAdvance:
        """What advances streams by chunks of so many steps."""
        found = self._kept.pop(steps, None)
        if found is None:
            engine = self._engine.at(steps)
            layouts = engine.signature.output_layout(), engine.signature.state_layout()
            found = HostAdvance(engine, self._arena, layouts)
        self._kept[steps] = found
        if len(self._kept) > _LENGTHS_KEPT:
            self._kept.popitem(last=False)
        return found


def both(
    some: NDArray[np.bool_] | None, others: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Rows that are in order by both accounts, None standing for all of them."""
    if some is None or others is None:
        return others if some is None else some
    return some & others
