"""States that live on the device: a session whose graph finds and keeps them by slot.

Owns the arena in the device's memory, the copies of inputs there and of outputs back, and which
slot is about to take its first step, whose state the graph then sets to the initial value: no state
ever crosses to the host. Takes the place of engine and arena together. Works on any device that
ONNX Runtime can hold values on, the CPU included, where its tests run.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifacts.artifact import Artifact
from service.runtime.rewriting import SLOTS, keep_states_inside, names
from service.runtime.sessions import device_value, open_session, step_failed
from service.runtime.sides import Side
from service.settings import Provider
from service.tensors import Array, Signature
from service.tick.advance import both
from service.tick.slots import Slot, Slots


class Resident:
    """A session with its states.

    Attributes:
        artifact: the model.
        signature: what a step takes and gives.
        provider: the execution provider that really computes, "cpu" or "cuda".
        max_batch: rows of a call at most.
        inputs, outputs: packed rows on the host, (max_batch, width).
    """

    def __init__(
        self,
        artifact: Artifact,
        signature: Signature,
        *,
        provider: Provider,
        capacity: int,
        max_batch: int,
    ) -> None:
        """Opens a session and allocates the arena.

        Args:
            artifact: the model, with its weights inside.
            signature: of its graph.
            provider: what was asked for.
            capacity: number of slots.
            max_batch: rows of a call at most.

        Raises:
            NotRewritableError: the graph can't keep its states.
            ArtifactError: ONNX Runtime refuses the graph that keeps them.
            ProviderError: "cuda" was asked for and another provider would compute.
        """
        self.artifact, self.signature, self.max_batch = artifact, signature, max_batch
        model = keep_states_inside(artifact.model, signature.states, capacity)
        session, self.provider = open_session(dataclasses.replace(artifact, model=model), provider)
        self._session = session
        self._in = Side(signature.input_layout(), max_batch)
        self._out = Side(signature.output_layout(), max_batch)
        self.inputs, self.outputs = self._in.rows, self._out.rows
        self.slots = Slots(capacity)
        self._fresh = np.ones(capacity, np.bool_)
        # (batch, 1), as the graph's GatherND wants it.
        self._rows = np.zeros((max_batch, 1), np.int64)
        self._first = np.zeros(max_batch, np.bool_)
        self._arenas = [
            self._value(np.zeros((capacity, *state.tensor.shape), state.tensor.dtype))
            for state in signature.states
        ]
        self._initial = [self._value(state.initial[np.newaxis]) for state in signature.states]
        self._constants = {name: self._value(one) for name, one in signature.constants.items()}
        self._bindings: dict[int, _Binding] = {}
        self._sound: list[Array] = []
        # Packed states that were restored and are not on the device yet, by row.
        self._restored: dict[int, Array] = {}
        self._begun: list[Array] | None = None

    def acquire(self) -> Slot:
        """Takes a free slot, whose first step starts from the initial state.

        Raises:
            Exhausted: every slot is in use.
        """
        slot = self.slots.acquire()
        self._fresh[slot.row] = True
        self._restored.pop(slot.row, None)
        return slot

    def read(self, rows: NDArray[np.intp]) -> Array:
        """A copy of the packed states of slots by their rows, (rows, state width)."""
        self._restore()
        layout = self.signature.state_layout()
        found = layout.rows(len(rows))
        for index, arena in enumerate(self._arenas):
            layout.view(found, index)[...] = arena.numpy()[rows]
        found[self._fresh[rows]] = self.signature.initial_row()
        return found

    def write(self, slot: Slot, state: Array) -> None:
        """Sets a slot's packed state, (state width,); it goes to the device with the next call."""
        self._fresh[slot.row] = False
        self._restored[slot.row] = state

    def _restore(self) -> None:
        """Brings restored states to the device, all at once: the arena crosses twice for it."""
        if not self._restored:
            return
        layout = self.signature.state_layout()
        rows = np.array(list(self._restored), np.intp)
        packed = np.stack(list(self._restored.values()))
        for index, arena in enumerate(self._arenas):
            values = arena.numpy().copy()
            values[rows] = layout.view(packed, index)
            arena.update_inplace(values)
        self._restored.clear()

    def gather(self, slots: NDArray[np.intp]) -> None:
        """Says whose states the first rows are, (batch,)."""
        self._restore()
        self._rows[: len(slots), 0] = slots
        self._first[: len(slots)] = self._fresh[slots]

    def step(self, rows: int) -> None:
        """Advances the first rows; their states are kept within the call.

        Raises:
            ModelFault: ONNX Runtime failed.
        """
        if self._begun is not None:
            binding = self._bind(rows, [self._value(one) for one in self._begun])
        else:
            binding = self._bindings.get(rows) or self._bindings.setdefault(
                rows, self._bind(rows, self._initial)
            )
        try:
            for value, array, packed in binding.inputs:
                if packed is not None:
                    np.copyto(array, packed)
                value.update_inplace(array)
            self._session.run_with_iobinding(binding.session)
            for value, array, packed in binding.outputs:
                np.copyto(array if packed is None else packed, value.numpy())
            self._sound = [value.numpy() for value in binding.sound]
        except Exception as error:
            # ONNX Runtime's exceptions share no base class of their own.
            raise step_failed(self.artifact.name, rows) from error

    def scatter(self, slots: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Notes the first steps as taken; says which rows are numbers, None where all are."""
        rows = len(slots)
        self._fresh[slots] = False
        good = self._out.layout.finite(self.outputs[:rows])
        for sound in self._sound:
            numbers = np.isfinite(sound.reshape(rows))
            good = both(good, None if numbers.all() else numbers)
        return good

    def one_at_a_time(self) -> None:
        """From now on a call has one row."""
        self.max_batch = 1

    def start(self, states: Sequence[Array]) -> None:
        """Lets the next `follow` begin in given states instead of the initial ones.

        Args:
            states: of each state tensor (rows, *shape).
        """
        self._begun = [np.ascontiguousarray(state) for state in states]

    def follow(self, rows: int) -> None:
        """A step of the first slots in their order, which no stream may hold yet."""
        slots = np.arange(rows)
        self._fresh[:rows] = self._begun is not None
        self.gather(slots)
        self.step(rows)
        self.scatter(slots)
        self._begun = None

    def kept(self, rows: int) -> list[Array]:
        """The states of the first slots, of each state tensor (rows, *shape)."""
        return [arena.numpy()[:rows] for arena in self._arenas]

    def _value(self, array: Array) -> Any:
        return device_value(array, self.provider)

    def _bind(self, rows: int, initial: Sequence[Any]) -> "_Binding":
        """Binds values of the device for so many rows."""
        session = self._session.io_binding()
        inputs: list[tuple[str, Array, Array | None]] = [(SLOTS, self._rows[:rows], None)]
        for tensor, pair in zip(self._in.layout.tensors, self._in.pairs(rows), strict=True):
            inputs.append((tensor.name, *pair))
        sound = []
        for index, state in enumerate(self.signature.states):
            called = names(index, state)
            shape = (rows, *(1 for _ in state.tensor.shape))
            inputs.append((called.fresh, self._first[:rows].reshape(shape), None))
            session.bind_ortvalue_input(called.arena, self._arenas[index])
            session.bind_ortvalue_input(called.initial, initial[index])
            # In place: another buffer would cost a copy of the whole arena.
            session.bind_ortvalue_output(called.next_arena, self._arenas[index])
            if called.sound is not None:
                sound.append(self._value(np.zeros((rows, 1), state.tensor.dtype)))
                session.bind_ortvalue_output(called.sound, sound[-1])
        for name, value in self._constants.items():
            session.bind_ortvalue_input(name, value)
        binding = _Binding(session, sound)
        for name, array, packed in inputs:
            value = self._value(array.copy())
            session.bind_ortvalue_input(name, value)
            binding.inputs.append((value, array, packed))
        tensors = zip(self.signature.outputs, self._out.pairs(rows), strict=True)
        for tensor, (array, packed) in tensors:
            value = self._value(array.copy())
            session.bind_ortvalue_output(tensor.name, value)
            binding.outputs.append((value, array, packed))
        return binding


class _Binding:
    """A binding of one batch size: values of the device, arrays of the host, packed rows."""

    __slots__ = ("inputs", "outputs", "session", "sound")

    def __init__(self, session: Any, sound: list[Any]) -> None:
        self.session = session
        self.sound = sound
        self.inputs: list[tuple[Any, Array, Array | None]] = []
        self.outputs: list[tuple[Any, Array, Array | None]] = []
