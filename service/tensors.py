"""What a graph takes and gives, as one stream sees it, and how that stands in one row.

Owns the words for tensors: dtypes under the names that ONNX, the Open Inference Protocol and
config.pbtxt give them, shapes without the batch axis, states, controls, and the layout of several
tensors side by side in a row. Knows nothing of sessions or streams.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_ALIGNMENT = 8
# NumPy's name, ONNX Runtime's, and the name that both protocol (FP32) and config (TYPE_FP32) use.
_NAMES = (
    ("bool", "bool", "BOOL"),
    ("uint8", "uint8", "UINT8"),
    ("uint16", "uint16", "UINT16"),
    ("uint32", "uint32", "UINT32"),
    ("uint64", "uint64", "UINT64"),
    ("int8", "int8", "INT8"),
    ("int16", "int16", "INT16"),
    ("int32", "int32", "INT32"),
    ("int64", "int64", "INT64"),
    ("float16", "float16", "FP16"),
    ("float32", "float", "FP32"),
    ("float64", "double", "FP64"),
)
_FROM_ONNX = {f"tensor({onnx})": np.dtype(name) for name, onnx, _ in _NAMES}
_FROM_WIRE = {wire: np.dtype(name) for name, _, wire in _NAMES}
_BY_NAME = {name: np.dtype(name) for name, _, _ in _NAMES}
_TO_WIRE = {dtype: wire for wire, dtype in _FROM_WIRE.items()}


def dtype_of_name(name: str) -> np.dtype[Any] | None:
    """The dtype of a name such as float32; None for what no tensor here can be of."""
    return _BY_NAME.get(name)


def dtype_of_onnx(kind: str) -> np.dtype[Any] | None:
    """The dtype that ONNX Runtime calls `tensor(float)`; None for text and what is no tensor."""
    return _FROM_ONNX.get(kind)


def dtype_of_wire(name: str) -> np.dtype[Any] | None:
    """The dtype that the protocol calls FP32, and config.pbtxt TYPE_FP32; None for any other."""
    return _FROM_WIRE.get(name.removeprefix("TYPE_"))


def wire_name(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a dtype, such as FP32."""
    return _TO_WIRE[dtype]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        shape: of one stream, without the batch axis.
        batch_axis: where the graph has it; None where it has none and computes one stream.
        timed: whether the first axis of the shape is time and of any length; it stands as 1.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    batch_axis: int | None = 0
    timed: bool = False

    @cached_property
    def size(self) -> int:
        """Numbers of one stream."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of one stream."""
        return self.size * self.dtype.itemsize

    def at(self, steps: int) -> "Tensor":
        """The tensor of so many steps; itself where it has no time."""
        return replace(self, shape=(steps, *self.shape[1:])) if self.timed else self

    def of_rows(self, rows: int) -> tuple[int, ...]:
        """The graph's shape for so many streams."""
        if self.batch_axis is None:
            return self.shape
        return (*self.shape[: self.batch_axis], rows, *self.shape[self.batch_axis :])


@dataclass(frozen=True)
class State:
    """A tensor that a step takes from the step before.

    Attributes:
        tensor: its input side.
        output: name of its output side, of the same dtype and shape.
        initial: first value of every stream, of the tensor's shape.
    """

    tensor: Tensor
    output: str
    initial: Array


class ControlKind(Enum):
    """What a control input tells the model of a stream's step."""

    START = "CONTROL_SEQUENCE_START"
    READY = "CONTROL_SEQUENCE_READY"
    END = "CONTROL_SEQUENCE_END"
    CORRID = "CONTROL_SEQUENCE_CORRID"


@dataclass(frozen=True)
class Control:
    """An input that the server fills in.

    Attributes:
        off, on: its two values; a CORRID's value is the sequence's number.
    """

    kind: ControlKind
    tensor: Tensor
    off: float = 0
    on: float = 1


def items(rows: Array) -> NDArray[Any]:
    """The rows of an array as one item each, (rows,), sharing their memory.

    NumPy scatters items in half the time. Rows of no width have no memory to share.
    """
    if not rows.shape[1]:
        return np.zeros(len(rows), np.bool_)
    found: NDArray[Any] = rows.view(np.dtype((np.void, rows.strides[0])))[:, 0]
    return found


class Layout:
    """Tensors of one stream side by side in one row of an array.

    Attributes:
        dtype: the tensors' own where they share one; bytes where they don't.
        width: items a row.
        whole: whether a block of rows is the one tensor itself, as the graph wants it.
        all_floating: whether a row consists of floating numbers alone.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Places the tensors in their order."""
        self.tensors = tuple(tensors)
        dtypes = {tensor.dtype for tensor in self.tensors}
        mixed = len(dtypes) > 1
        self.dtype = np.dtype(np.uint8) if mixed else next(iter(dtypes), np.dtype(np.float32))
        self._slices: list[slice] = []
        start = 0
        for tensor in self.tensors:
            stop = start + (tensor.nbytes if mixed else tensor.size)
            self._slices.append(slice(start, stop))
            start = -(-stop // _ALIGNMENT) * _ALIGNMENT if mixed else stop
        self.width = start
        self.whole = len(self.tensors) == 1 and not self.tensors[0].batch_axis
        self._floating = [
            index for index, tensor in enumerate(self.tensors) if tensor.dtype.kind == "f"
        ]
        self.all_floating = not mixed and bool(self._floating)

    def rows(self, count: int) -> Array:
        """Zeros for so many streams, (count, width)."""
        return np.zeros((count, self.width), self.dtype)

    def view(self, rows: Array, index: int) -> Array:
        """One tensor within packed rows, (rows, *shape), sharing their memory."""
        tensor = self.tensors[index]
        part = rows[:, self._slices[index]]
        if part.dtype != tensor.dtype:
            part = part.view(tensor.dtype)
        view: Array = part.reshape(len(rows), *tensor.shape)
        return view

    def pack(self, values: Sequence[Array]) -> Array:
        """Packed rows, (rows, width), of each tensor's (rows, *shape); a copy only where needed."""
        if self.whole:
            rows: Array = values[0].reshape(-1, self.width)
            return rows
        rows = self.rows(len(values[0]) if values else 0)
        for index, value in enumerate(values):
            self.view(rows, index)[...] = value
        return rows

    def finite(self, rows: Array) -> NDArray[np.bool_] | None:
        """Which rows are numbers throughout, (rows,); None where all are."""
        good = np.ones(len(rows), np.bool_)
        for index in self._floating:
            good &= np.isfinite(self.view(rows, index)).reshape(len(rows), -1).all(axis=1)
        return None if good.all() else good


@dataclass(frozen=True)
class Signature:
    """Everything that a step of a model takes and gives.

    Attributes:
        inputs: what callers send.
        outputs: what callers get.
        states: what the arena keeps; none for a model without state.
        controls: what the server fills in.
        constants: inputs that never change, by name, in the graph's shape.
        batched: whether one call may advance several streams.
        time_axis: whether the first axis of every row is time, which is fed one step at a time.
        whole: whether a chunk of many steps is one call instead; shapes are those of one step.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    states: tuple[State, ...]
    controls: tuple[Control, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)
    batched: bool = True
    time_axis: bool = False
    whole: bool = False

    def at(self, steps: int) -> "Signature":
        """The same for calls of so many steps."""
        return replace(
            self,
            inputs=tuple(one.at(steps) for one in self.inputs),
            outputs=tuple(one.at(steps) for one in self.outputs),
            controls=tuple(replace(one, tensor=one.tensor.at(steps)) for one in self.controls),
        )

    def input_layout(self) -> Layout:
        """Callers' inputs, then the controls."""
        return Layout((*self.inputs, *(control.tensor for control in self.controls)))

    def state_layout(self) -> Layout:
        """The states, in order."""
        return Layout(state.tensor for state in self.states)

    def output_layout(self) -> Layout:
        """What callers get."""
        return Layout(self.outputs)

    def initial_row(self) -> Array:
        """The packed first state of every stream, (state width,)."""
        layout = self.state_layout()
        if not self.states:
            return layout.rows(1).reshape(-1)
        return layout.pack([state.initial[np.newaxis] for state in self.states]).reshape(-1)

    @cached_property
    def native(self) -> bool:
        """Whether the native wire can speak to it: a float32 input and a float32 output."""
        ports = (*self.inputs, *self.outputs)
        return (
            len(self.inputs) == len(self.outputs) == 1
            and bool(self.states)
            and all(port.dtype == np.float32 for port in ports)
            and all(port.timed for port in ports if self.whole)
        )

    @cached_property
    def plain(self) -> bool:
        """Whether the packed rows of steps are what a caller of the native wire sends."""
        return self.native and not self.whole and not self.controls
