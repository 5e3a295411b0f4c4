"""What a graph by others takes and gives, from its config.pbtxt and the graph itself.

Owns the comparison of the two: every contradiction is refused with the field, both sides and the
remedy, so that nothing is found out by the first caller. Knows nothing of sessions: a graph is its
nodes and a way to run it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from protos.inference.model_config_pb2 import DataType, ModelConfig, ModelSequenceBatching
from service.config import CONFIG_FILE, parameter
from service.errors import ArtifactError
from service.tensors import (
    Array,
    Control,
    ControlKind,
    Signature,
    State,
    Tensor,
    dtype_of_onnx,
    dtype_of_wire,
    wire_name,
)

_INITIAL_STATE_FOLDER = "initial_state"
_Kind = ModelSequenceBatching.Control.Kind


class Node(NamedTuple):
    """An input or an output of a graph; a free axis is None."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Graph:
    """The outside of a graph.

    Attributes:
        run: from inputs by name to outputs by name.
    """

    inputs: Mapping[str, Node]
    outputs: Mapping[str, Node]
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]]


def node(name: str, kind: str, shape: Iterable[object]) -> Node:
    """A node as ONNX Runtime describes it.

    Raises:
        ArtifactError: its type is not one that is served.
    """
    dtype = dtype_of_onnx(kind)
    if dtype is None:
        raise ArtifactError(f"tensor {name!r} is {kind}; numbers and truth values are served")
    return Node(name, dtype, tuple(axis if isinstance(axis, int) else None for axis in shape))


def resolve(graph: Graph, config: ModelConfig, folder: Path) -> Signature:
    """The signature that a config declares, once it agrees with the graph.

    Args:
        graph: what ONNX Runtime says of the model.
        config: of its folder; an empty one for a model without state whose batch axis is free.
        folder: of the model, where initial states lie.

    Raises:
        ArtifactError: names the field that contradicts the graph.
    """
    try:
        return _Resolution(graph, config, folder).signature()
    except _Contradiction as fault:
        raise ArtifactError(f"{folder / CONFIG_FILE}: {fault}") from None


class _Contradiction(Exception):
    """What is wrong, in one line without the file's name."""


class _Resolution:
    """One config against one graph."""

    def __init__(self, graph: Graph, config: ModelConfig, folder: Path) -> None:
        self._graph = graph
        self._config = config
        self._folder = folder
        self._batched = config.max_batch_size > 0
        self._time_axis = parameter(config, "time_axis") is not None

    def signature(self) -> Signature:
        batching = self._config.sequence_batching
        states = tuple(map(self._state, batching.state))
        controls = tuple(
            self._control(one.name, control)
            for one in batching.control_input
            for control in one.control
        )
        constants = self._constants()
        taken = {*constants, *(state.tensor.name for state in states)}
        taken |= {control.tensor.name for control in controls}
        inputs = tuple(self._inputs(taken))
        given = {state.output for state in states}
        found = self._probe(inputs, states, controls, constants)
        return Signature(
            inputs=inputs,
            outputs=tuple(self._outputs(given, found)),
            states=states,
            controls=controls,
            constants=constants,
            batched=self._batched,
            time_axis=self._time_axis,
        )

    def _state(self, declared: ModelSequenceBatching.State) -> State:
        field = f"state {declared.input_name!r}"
        node = self._node(self._graph.inputs, field, "input_name", declared.input_name)
        after = self._node(self._graph.outputs, field, "output_name", declared.output_name)
        self._same_dtype(field, declared.data_type, node)
        if after.dtype != node.dtype:
            raise _Contradiction(
                f"{field}: the graph takes {wire_name(node.dtype)} and gives back "
                f"{wire_name(after.dtype)} in {after.name!r}; pair an input and an output of one "
                "data_type"
            )
        axis = self._state_axis(field, node, tuple(declared.dims))
        shape = node.shape if axis is None else (*node.shape[:axis], *node.shape[axis + 1 :])
        tensor = Tensor(node.name, node.dtype, self._fixed(field, shape, declared.dims), axis)
        return State(tensor, after.name, self._initial(field, declared, tensor))

    def _state_axis(self, field: str, node: Node, dims: tuple[int, ...]) -> int | None:
        """The batch axis: as a parameter says, or the free axis without which dims fit."""
        if not self._batched:
            return None
        said = parameter(self._config, f"state_batch_axis.{node.name}")
        if said is not None:
            if not said.isdecimal() or int(said) >= len(node.shape):
                raise _Contradiction(
                    f"parameter state_batch_axis.{node.name} is {said!r}; the graph's shape is "
                    f"{_shown(node.shape)}"
                )
            return int(said)
        for axis, size in enumerate(node.shape):
            if size is None and _fits((*node.shape[:axis], *node.shape[axis + 1 :]), dims):
                return axis
        raise _Contradiction(
            f"{field}: dims are {list(dims)}, the graph's shape is {_shown(node.shape)}; give the "
            "shape without its batch axis, which has to be free, or max_batch_size 0"
        )

    def _initial(self, field: str, declared: ModelSequenceBatching.State, tensor: Tensor) -> Array:
        values = parameter(self._config, f"initial_state.{tensor.name}")
        if values is not None:
            return self._values(f"parameter initial_state.{tensor.name}", values, tensor)
        if not declared.initial_state:
            return np.zeros(tensor.shape, tensor.dtype)
        first = declared.initial_state[0]
        if dtype_of_wire(DataType.Name(first.data_type)) != tensor.dtype:
            raise _Contradiction(
                f"{field}: initial_state has data_type {DataType.Name(first.data_type)}, the graph "
                f"takes {wire_name(tensor.dtype)}"
            )
        if first.WhichOneof("state_data") != "data_file":
            return np.zeros(tensor.shape, tensor.dtype)
        root = (self._folder / _INITIAL_STATE_FOLDER).resolve()
        path = (root / first.data_file).resolve()
        if not path.is_relative_to(root):
            raise _Contradiction(f"{field}: data_file {first.data_file!r} lies outside {root.name}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _Contradiction(f"{field}: data_file {path}: {error.strerror}") from None
        if len(data) != tensor.nbytes:
            raise _Contradiction(
                f"{field}: data_file has {len(data)} bytes; shape {list(tensor.shape)} of "
                f"{wire_name(tensor.dtype)} takes {tensor.nbytes}"
            )
        return np.frombuffer(data, tensor.dtype).reshape(tensor.shape)

    def _control(self, name: str, declared: ModelSequenceBatching.Control) -> Control:
        field = f"control_input {name!r}"
        node = self._node(self._graph.inputs, field, "name", name)
        kind = ControlKind(_Kind.Name(declared.kind))
        pairs = (declared.int32_false_true, declared.fp32_false_true, declared.bool_false_true)
        values = next((pair for pair in pairs if pair), ())
        if kind is ControlKind.CORRID:
            self._same_dtype(field, declared.data_type, node)
            if node.dtype.kind not in "iu":
                raise _Contradiction(f"{field}: CORRID is served as a whole number only")
        elif len(values) != 2:
            raise _Contradiction(
                f"{field}: give two values, for off and on, in int32_false_true, fp32_false_true "
                "or bool_false_true"
            )
        off, on = (float(value) for value in (values or (0, 1)))
        return Control(kind, self._row(field, node, (1,)), off, on)

    def _constants(self) -> dict[str, Array]:
        found = {}
        for key in sorted(self._config.parameters):
            if not key.startswith("constant_input."):
                continue
            name = key.removeprefix("constant_input.")
            node = self._node(self._graph.inputs, f"parameter {key}", "name", name)
            shape = tuple(1 if axis is None else axis for axis in node.shape)
            text = self._config.parameters[key].string_value
            found[name] = self._values(f"parameter {key}", text, Tensor(name, node.dtype, shape))
        return found

    def _values(self, field: str, text: str, tensor: Tensor) -> Array:
        """Numbers apart by commas, as many as the tensor has, or one for all of them."""
        try:
            numbers = np.array([float(part) for part in text.split(",")]).astype(tensor.dtype)
            return np.broadcast_to(
                numbers.reshape(tensor.shape) if numbers.size == tensor.size else numbers[0],
                tensor.shape if numbers.size in (1, tensor.size) else (-1,),
            ).copy()
        except ValueError:
            raise _Contradiction(
                f"{field} is {text!r}; give {tensor.size} numbers with commas between, or one"
            ) from None

    def _inputs(self, taken: set[str]) -> Iterable[Tensor]:
        listed = {one.name: one for one in self._config.input}
        for name in listed:
            self._node(self._graph.inputs, f"input {name!r}", "name", name)
        for name, node in self._graph.inputs.items():
            if name in taken:
                continue
            if listed and name not in listed:
                raise _Contradiction(
                    f"the graph's input {name!r} stands nowhere; list it under input, as a "
                    f"state's input_name, or give the parameter constant_input.{name}"
                )
            dims: tuple[int, ...] | None = None
            if name in listed:
                self._same_dtype(f"input {name!r}", listed[name].data_type, node)
                dims = tuple(listed[name].reshape.shape or listed[name].dims)
            yield self._row(f"input {name!r}", node, dims)

    def _outputs(self, given: set[str], found: Mapping[str, Array]) -> Iterable[Tensor]:
        listed = {one.name: one for one in self._config.output}
        for name, declared in listed.items():
            node = self._node(self._graph.outputs, f"output {name!r}", "name", name)
            self._same_dtype(f"output {name!r}", declared.data_type, node)
        names = list(listed) or [name for name in self._graph.outputs if name not in given]
        if not names:
            raise _Contradiction("no output is left for callers beside the states")
        for name in names:
            actual = found[name]
            shape = actual.shape
            if self._batched:
                if not shape or shape[0] != 1:
                    raise _Contradiction(
                        f"output {name!r} has shape {list(shape)} for one stream: its first axis "
                        "is no batch axis; set max_batch_size: 0"
                    )
                shape = shape[1:]
            dims = tuple(listed[name].reshape.shape or listed[name].dims) if listed else shape
            if not _fits(shape, dims):
                raise _Contradiction(
                    f"output {name!r}: dims are {list(dims)}, the graph gives {list(shape)}"
                )
            yield Tensor(name, actual.dtype, shape, 0 if self._batched else None)

    def _probe(
        self,
        inputs: tuple[Tensor, ...],
        states: tuple[State, ...],
        controls: tuple[Control, ...],
        constants: Mapping[str, Array],
    ) -> Mapping[str, Array]:
        """One step of one stream: what shapes come out, declared or not."""
        feeds = {one.name: np.zeros(one.of_rows(1), one.dtype) for one in inputs} | dict(constants)
        for control in controls:
            feeds[control.tensor.name] = np.zeros(control.tensor.of_rows(1), control.tensor.dtype)
        for state in states:
            feeds[state.tensor.name] = np.zeros(state.tensor.of_rows(1), state.tensor.dtype)
        try:
            found = self._graph.run(feeds)
        except ArtifactError as error:
            raise _Contradiction(f"a step of one stream fails: {error.message}") from None
        for state in states:
            shape, wanted = found[state.output].shape, state.tensor.of_rows(1)
            if shape != wanted:
                raise _Contradiction(
                    f"state {state.tensor.name!r} has shape {list(wanted)} for one stream, its "
                    f"output {state.output!r} {list(shape)}; they have to agree"
                )
        return found

    def _row(self, field: str, node: Node, dims: tuple[int, ...] | None) -> Tensor:
        """A tensor with its batch axis first, where there is one."""
        shape = node.shape
        if self._batched:
            if not shape or shape[0] is not None:
                raise _Contradiction(
                    f"{field}: max_batch_size is {self._config.max_batch_size}, but the graph's "
                    f"shape is {_shown(shape)}, without a free first axis; set max_batch_size: 0"
                )
            shape = shape[1:]
        if self._time_axis and shape and shape[0] is None:
            # Step by step: one time a call.
            shape = (1, *shape[1:])
            dims = None if dims is None else (1, *dims[1:])
        axis = 0 if self._batched else None
        return Tensor(node.name, node.dtype, self._fixed(field, shape, dims), axis)

    def _fixed(
        self, field: str, shape: tuple[int | None, ...], dims: Iterable[int] | None
    ) -> tuple[int, ...]:
        """The shape with its free axes filled in from the config."""
        wanted = shape if dims is None else tuple(dims)
        if dims is not None and not _fits(shape, wanted):
            raise _Contradiction(
                f"{field}: dims are {list(wanted)}, the graph's shape is {_shown(shape)}"
                + (" without its batch axis" if self._batched else "")
            )
        fixed = [
            size if size is not None else said for size, said in zip(shape, wanted, strict=True)
        ]
        if any(size is None or size < 1 for size in fixed):
            raise _Contradiction(
                f"{field}: the graph's shape is {_shown(shape)}; give every free axis its size in "
                "dims"
            )
        return tuple(size for size in fixed if size is not None)

    def _node(self, nodes: Mapping[str, Node], field: str, key: str, name: str) -> Node:
        if name not in nodes:
            raise _Contradiction(
                f"{field}: {key} {name!r} is not in the graph, which has {', '.join(nodes)}"
            )
        return nodes[name]

    @staticmethod
    def _same_dtype(field: str, declared: int, node: Node) -> None:
        name = DataType.Name(declared)  # type: ignore[arg-type]
        if dtype_of_wire(name) != node.dtype:
            raise _Contradiction(
                f"{field}: data_type is {name}, the graph's is TYPE_{wire_name(node.dtype)}"
            )


def _fits(shape: tuple[int | None, ...], wanted: Iterable[int | None]) -> bool:
    dims = tuple(wanted)
    return len(shape) == len(dims) and all(
        size is None or said in (-1, size) for size, said in zip(shape, dims, strict=True)
    )


def _shown(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def plain(graph: Graph) -> ModelConfig:
    """The config of a model without one: no state, batched where every first axis is free."""
    free = all(one.shape and one.shape[0] is None for one in graph.inputs.values())
    return ModelConfig(max_batch_size=1_024 if free and graph.inputs else 0)
