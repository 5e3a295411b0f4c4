"""One step of many streams in one call of ONNX Runtime.

Owns the buffers that a session reads and writes, and one binding a batch size, made once and used
again. Knows nothing of streams or time: who stands in which row is the batcher's affair.
"""

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from service.artifacts.artifact import Artifact
from service.runtime.sessions import alias, open_session, step_failed
from service.runtime.sides import Side
from service.runtime.signing import signature_of
from service.settings import Provider
from service.tensors import Array, Signature

# What a call of whole chunks takes and gives at most, in bytes, unless a single chunk is larger.
_CALL_BYTES = 2**24


class StepEngine(Protocol):
    """What the tick and the lanes need of an engine.

    A Protocol, so that a test's engine can compute something that the test can predict.

    Attributes:
        max_batch: rows of each buffer.
        inputs, states: (max_batch, width), written before a step.
        outputs, next_states: (max_batch, width), read after a step.
    """

    max_batch: int
    inputs: Array
    states: Array
    outputs: Array
    next_states: Array

    def step(self, rows: int) -> None:
        """Advances the first `rows` rows from inputs and states to outputs and next_states."""

    def turned(self) -> "StepEngine":
        """The same engine with states and next_states exchanged: a step goes the other way."""


class Engine:
    """A session with its buffers; row i of each buffer belongs to one stream for one step.

    Attributes:
        provider: the execution provider that really computes, "cpu" or "cuda".
        signature: what a step takes and gives.
        max_batch: rows of a call; 1 for a model that computes one stream at a time.
        inputs, states, outputs, next_states: packed rows, (max_batch, width) of the layouts of the
            signature; the first two are written before a step, the others read after it.
    """

    def __init__(self, artifact: Artifact, *, provider: Provider, max_batch: int) -> None:
        """Opens a session.

        Args:
            artifact: the model.
            provider: what was asked for; "auto" is CUDA where it is really there.
            max_batch: largest number of rows of a step.

        Raises:
            ArtifactError: ONNX Runtime refuses the model, or its graph is not what is declared.
            ProviderError: "cuda" was asked for and another provider would compute.
        """
        self.artifact = artifact
        self._session, self.provider = open_session(artifact, provider)
        self.signature = signature_of(artifact, self._session)
        self.max_batch = max_batch if self.signature.batched else 1
        if artifact.config is not None and artifact.config.max_batch_size > 0:
            self.max_batch = min(self.max_batch, artifact.config.max_batch_size)
        self._run = self._session.run_with_iobinding
        self._fit(self.signature)

    def _fit(self, signature: Signature) -> None:
        """Makes the buffers."""
        self.signature = signature
        self._use(
            Side(signature.input_layout(), self.max_batch),
            Side(signature.state_layout(), self.max_batch),
            Side(signature.output_layout(), self.max_batch),
            Side(signature.state_layout(), self.max_batch),
        )

    def _use(self, inputs: Side, states: Side, outputs: Side, next_states: Side) -> None:
        """Takes buffers, to which nothing is bound yet."""
        self._sides = inputs, states, outputs, next_states
        self.inputs, self.states = inputs.rows, states.rows
        self.outputs, self.next_states = outputs.rows, next_states.rows
        self._bindings: list[_Binding | None] = [None] * (self.max_batch + 1)

    def most(self, steps: int) -> int:
        """Streams of a call of so many steps each: whole chunks take room and time."""
        signature = self.signature.at(steps)
        row = sum(one.nbytes for one in (*signature.inputs, *signature.outputs))
        return max(1, min(self.max_batch, _CALL_BYTES // max(1, row)))

    def at(self, steps: int) -> "Engine":
        """The same session with buffers for calls of so many steps."""
        other = copy.copy(self)
        other.max_batch = self.most(steps)
        other._fit(self.signature.at(steps))
        return other

    def turned(self) -> "Engine":
        """The same session and buffers, states and next states exchanged.

        Whoever steps with the one and the other in turn need not copy states between steps.
        """
        other = copy.copy(self)
        inputs, states, outputs, next_states = self._sides
        other._use(inputs, next_states, outputs, states)
        return other

    def one_at_a_time(self) -> None:
        """From now on a call has one row."""
        self.max_batch = 1

    def step(self, rows: int) -> None:
        """Advances the first `rows` rows by one step, from inputs and states to the other two.

        Raises:
            ModelFault: ONNX Runtime failed.
        """
        binding = self._bindings[rows] or self._bind(rows)
        try:
            for row_of_graph, row_of_stream in binding.before:
                np.copyto(row_of_graph, row_of_stream)
            self._run(binding.session)
            for row_of_stream, row_of_graph in binding.after:
                np.copyto(row_of_stream, row_of_graph)
        except Exception as error:
            # ONNX Runtime's exceptions share no base class of their own.
            raise step_failed(self.artifact.name, rows) from error

    def start(self, states: Sequence[Array]) -> None:
        """Lets the next `follow` begin in given states.

        Args:
            states: of each state tensor (rows, *shape).
        """
        layout = self._sides[1].layout
        for index, state in enumerate(states):
            layout.view(self.states[: len(state)], index)[...] = state

    def follow(self, rows: int) -> None:
        """A step of the first rows from where their last one, or `start`, left them."""
        self.step(rows)
        self.states[:rows] = self.next_states[:rows]

    def kept(self, rows: int) -> list[Array]:
        """The states of the first rows, of each state tensor (rows, *shape)."""
        layout = self._sides[1].layout
        return [layout.view(self.states[:rows], index) for index in range(len(layout.tensors))]

    def _bind(self, rows: int) -> "_Binding":
        """Binds the first `rows` rows of the buffers; the values alias the arrays' memory."""
        signature, session = self.signature, self._session.io_binding()
        inputs, states, outputs, next_states = self._sides
        before: list[_Copy] = []
        after: list[_Copy] = []
        for side in (inputs, states):
            for tensor, (graph, stream) in zip(side.layout.tensors, side.pairs(rows), strict=True):
                session.bind_ortvalue_input(tensor.name, alias(graph))
                if stream is not None:
                    before.append((graph, stream))
        answers = [tensor.name for tensor in signature.outputs]
        after_states = [state.output for state in signature.states]
        for side, names in ((outputs, answers), (next_states, after_states)):
            for name, (graph, stream) in zip(names, side.pairs(rows), strict=True):
                session.bind_ortvalue_output(name, alias(graph))
                if stream is not None:
                    after.append((stream, graph))
        for name, values in signature.constants.items():
            session.bind_ortvalue_input(name, alias(values))
        binding = _Binding(session, before, after)
        self._bindings[rows] = binding
        return binding


# Where a tensor's rows go, and where they come from.
_Copy = tuple[Array, Array]


class _Binding:
    """A binding of one batch size, and the copies that it needs around its call."""

    __slots__ = ("after", "before", "session")

    def __init__(self, session: Any, before: Sequence[_Copy], after: Sequence[_Copy]) -> None:
        self.session = session
        self.before = before
        self.after = after
