"""What a config.pbtxt says of a graph's states, controls and constants, compared with the graph.

Owns these three, and the shape of a row with or without a batch axis. Knows nothing of what callers
send and get.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from protos.inference.model_config_pb2 import DataType, ModelConfig, ModelSequenceBatching
from service.artifacts.config import parameter
from service.artifacts.graph import Contradiction, Graph, Node, find, fits, same_dtype, shown
from service.tensors import Array, Control, ControlKind, State, Tensor, dtype_of_wire, wire_name

_INITIAL_STATE_FOLDER = "initial_state"
_Kind = ModelSequenceBatching.Control.Kind


class Declared:
    """One config against one graph.

    Attributes:
        batched: whether the graph has a batch axis.
        time_axis: whether the axis behind it is time, fed one step at a time.
        whole: whether it is time, and a call takes whole chunks.
    """

    def __init__(self, graph: Graph, config: ModelConfig, folder: Path) -> None:
        """Takes a config and the folder of its model."""
        self._graph = graph
        self._config = config
        self._folder = folder
        self.batched = config.max_batch_size > 0
        said = parameter(config, "time_axis")
        if said not in (None, "step", "chunk"):
            raise Contradiction(f"parameter time_axis is {said!r}; give step or chunk")
        self.time_axis = said == "step"
        self.whole = said == "chunk"

    def states(self) -> tuple[State, ...]:
        """Every declared state.

        Raises:
            Contradiction: the graph says otherwise; so do all methods here.
        """
        return tuple(map(self._state, self._config.sequence_batching.state))

    def controls(self) -> tuple[Control, ...]:
        """Every declared control."""
        return tuple(
            self._control(one.name, control)
            for one in self._config.sequence_batching.control_input
            for control in one.control
        )

    def _state(self, declared: ModelSequenceBatching.State) -> State:
        field = f"state {declared.input_name!r}"
        node = find(self._graph.inputs, field, "input_name", declared.input_name)
        after = find(self._graph.outputs, field, "output_name", declared.output_name)
        same_dtype(field, declared.data_type, node)
        if after.dtype != node.dtype:
            raise Contradiction(
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
        if not self.batched:
            return None
        said = parameter(self._config, f"state_batch_axis.{node.name}")
        if said is not None:
            if not said.isdecimal() or int(said) >= len(node.shape):
                raise Contradiction(
                    f"parameter state_batch_axis.{node.name} is {said!r}; the graph's shape is "
                    f"{shown(node.shape)}"
                )
            return int(said)
        for axis, size in enumerate(node.shape):
            if size is None and fits((*node.shape[:axis], *node.shape[axis + 1 :]), dims):
                return axis
        raise Contradiction(
            f"{field}: dims are {list(dims)}, the graph's shape is {shown(node.shape)}; give the "
            "shape without its batch axis, which has to be free, or max_batch_size 0"
        )

    def _initial(self, field: str, declared: ModelSequenceBatching.State, tensor: Tensor) -> Array:
        values = self._initial_values(field, tensor, declared)
        if not np.isfinite(values).all():
            raise Contradiction(f"{field}: its initial state holds NaN or infinity; give numbers")
        return values

    def _initial_values(
        self, field: str, tensor: Tensor, declared: ModelSequenceBatching.State
    ) -> Array:
        values = parameter(self._config, f"initial_state.{tensor.name}")
        if values is not None:
            return self._values(f"parameter initial_state.{tensor.name}", values, tensor)
        if not declared.initial_state:
            return np.zeros(tensor.shape, tensor.dtype)
        first = declared.initial_state[0]
        if dtype_of_wire(DataType.Name(first.data_type)) != tensor.dtype:
            raise Contradiction(
                f"{field}: initial_state has data_type {DataType.Name(first.data_type)}, the graph "
                f"takes {wire_name(tensor.dtype)}"
            )
        if first.WhichOneof("state_data") != "data_file":
            return np.zeros(tensor.shape, tensor.dtype)
        root = (self._folder / _INITIAL_STATE_FOLDER).resolve()
        if "\0" in first.data_file:
            raise Contradiction(f"{field}: data_file {first.data_file!r} is no name of a file")
        path = (root / first.data_file).resolve()
        if not path.is_relative_to(root):
            raise Contradiction(f"{field}: data_file {first.data_file!r} lies outside {root.name}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Contradiction(f"{field}: data_file {path}: {error.strerror}") from None
        if len(data) != tensor.nbytes:
            raise Contradiction(
                f"{field}: data_file has {len(data)} bytes; shape {list(tensor.shape)} of "
                f"{wire_name(tensor.dtype)} takes {tensor.nbytes}"
            )
        return np.frombuffer(data, tensor.dtype).reshape(tensor.shape)

    def _control(self, name: str, declared: ModelSequenceBatching.Control) -> Control:
        field = f"control_input {name!r}"
        node = find(self._graph.inputs, field, "name", name)
        kind = ControlKind(_Kind.Name(declared.kind))
        pairs = (declared.int32_false_true, declared.fp32_false_true, declared.bool_false_true)
        values = [float(value) for value in next((pair for pair in pairs if pair), ())]
        if kind is ControlKind.CORRID:
            same_dtype(field, declared.data_type, node)
            if node.dtype.kind not in "iu":
                raise Contradiction(f"{field}: CORRID is served as a whole number only")
            if values:
                raise Contradiction(
                    f"{field}: CORRID is a number of its own; leave out int32_false_true, "
                    "fp32_false_true and bool_false_true"
                )
            values = [0.0, 1.0]
        elif len(values) != 2:
            raise Contradiction(
                f"{field}: give two values, for off and on, in int32_false_true, fp32_false_true "
                "or bool_false_true"
            )
        off, on = _numbers(f"{field}: off and on are {values}", np.array(values), node.dtype)
        return Control(kind, self.row(field, node, (1,)), float(off), float(on))

    def constants(self) -> dict[str, Array]:
        """Every declared constant input, in the graph's shape."""
        found = {}
        for key in sorted(self._config.parameters):
            if not key.startswith("constant_input."):
                continue
            name = key.removeprefix("constant_input.")
            node = find(self._graph.inputs, f"parameter {key}", "name", name)
            shape = tuple(1 if axis is None else axis for axis in node.shape)
            text = self._config.parameters[key].string_value
            found[name] = self._values(f"parameter {key}", text, Tensor(name, node.dtype, shape))
        return found

    def _values(self, field: str, text: str, tensor: Tensor) -> Array:
        """Numbers apart by commas, as many as the tensor has, or one for all of them."""
        try:
            said = np.array([float(part) for part in text.split(",")])
        except ValueError:
            said = np.empty(0)
        if said.size not in (1, tensor.size):
            raise Contradiction(
                f"{field} is {text!r}; give {tensor.size} numbers with commas between, or one"
            )
        numbers = _numbers(f"{field} is {text!r}", said, tensor.dtype)
        if numbers.size == 1:
            return np.full(tensor.shape, numbers[0])
        return numbers.reshape(tensor.shape)

    def row(self, field: str, node: Node, dims: tuple[int, ...] | None) -> Tensor:
        """A tensor with its batch axis first, where there is one."""
        shape = node.shape
        if self.batched:
            if not shape or shape[0] is not None:
                raise Contradiction(
                    f"{field}: max_batch_size is {self._config.max_batch_size}, but the graph's "
                    f"shape is {shown(shape)}, without a free first axis; set max_batch_size: 0"
                )
            shape = shape[1:]
        timed = False
        if (self.time_axis or self.whole) and shape and shape[0] is None:
            # Where it is fed step by step, one time a call; for chunks, one step of any number.
            shape = (1, *shape[1:])
            dims = None if dims is None else (1, *dims[1:])
            timed = self.whole
        axis = 0 if self.batched else None
        return Tensor(node.name, node.dtype, self._fixed(field, shape, dims), axis, timed)

    def _fixed(
        self, field: str, shape: tuple[int | None, ...], dims: Iterable[int] | None
    ) -> tuple[int, ...]:
        """The shape with its free axes filled in from the config."""
        wanted = shape if dims is None else tuple(dims)
        if dims is not None and not fits(shape, wanted):
            raise Contradiction(
                f"{field}: dims are {list(wanted)}, the graph's shape is {shown(shape)}"
                + (" without its batch axis" if self.batched else "")
            )
        fixed = [
            size if size is not None else said for size, said in zip(shape, wanted, strict=True)
        ]
        if any(size is None or size < 1 for size in fixed):
            raise Contradiction(
                f"{field}: the graph's shape is {shown(shape)}; give every free axis its size in "
                "dims"
            )
        return tuple(size for size in fixed if size is not None)


def _numbers(field: str, said: Array, dtype: np.dtype[Any]) -> Array:
    """What a config says, as the graph takes it."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = said.astype(dtype)
    # A floating type rounds; what none of its numbers is near comes out as infinite.
    held = np.isfinite(numbers) | ~np.isfinite(said)
    if dtype.kind != "f":
        held = numbers == said
    if not held.all():
        raise Contradiction(f"{field}; give numbers that {wire_name(dtype)} can hold")
    return numbers
