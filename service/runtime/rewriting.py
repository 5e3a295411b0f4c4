"""A step graph rewritten so that it finds its states by slot, and keeps them there.

Owns the nodes around a model's own: each state's input becomes a row of an arena that the graph
reads (or, for a stream's first step, the initial value), each state's output is written back to
that row, and a number a row says whether the state is one. So a device can hold the states for
good, and one call does what gather, step and scatter do on the host. Knows nothing of sessions.

    kept = GatherND(arena, slots)
    state = Where(fresh, initial, kept)
    ... the model's own nodes, from state to next_state ...
    arena' = ScatterND(arena, slots, next_state)        bound onto the arena's own memory
    sound = MatMul(Flatten(next_state) * 0, ones)       0, or NaN where a number is none
"""

import math
from typing import Any, NamedTuple

import numpy as np

from protos.statewise.v1.graph_pb2 import (
    Graph,
    GraphAttribute,
    GraphDimension,
    GraphModel,
    GraphNode,
    GraphShape,
    GraphTensor,
    GraphTensorType,
    GraphType,
    GraphValue,
)
from service.tensors import State

# GatherND and ScatterND came with 11.
_LEAST_OPSET = 11
_BOOL, _INT64 = 9, 7
SLOTS = "statewise.slots"


class Names(NamedTuple):
    """What the rewritten graph calls the tensors of one state.

    Attributes:
        arena: (capacity, *shape), input.
        next_arena: the same, output.
        fresh: bool (batch, 1, ...), input: whose first step it is.
        initial: (1 or batch, *shape), input.
        sound: (batch, 1), output: 0, or NaN where the state is not finite; None for whole numbers,
            which always are.
    """

    arena: str
    next_arena: str
    fresh: str
    initial: str
    sound: str | None


class NotRewritableError(Exception):
    """Why a graph's states can't be kept inside it."""


def names(index: int, state: State) -> Names:
    """The names of a state's tensors, `index` being its place among the states."""
    return Names(
        arena=f"statewise.arena.{index}",
        next_arena=f"statewise.next_arena.{index}",
        fresh=f"statewise.fresh.{index}",
        initial=f"statewise.initial.{index}",
        sound=f"statewise.sound.{index}" if state.tensor.dtype.kind == "f" else None,
    )


def keep_states_inside(model: bytes, states: tuple[State, ...], capacity: int) -> bytes:
    """Rewrites a model.

    Args:
        model: an ONNX file whose weights are inside it.
        states: what it takes from the step before, each with its batch axis first.
        capacity: rows of each arena.

    Raises:
        NotRewritableError: the graph's operators are too old for it, a state's batch axis is not
            the first, or a state's output does not follow from its input.
    """
    parsed = GraphModel.FromString(model)
    versions = [one.version for one in parsed.opset_import if one.domain in ("", "ai.onnx")]
    opset = max(versions, default=0)
    if opset < _LEAST_OPSET:
        raise NotRewritableError(f"its opset is {opset}, and it takes {_LEAST_OPSET}")
    graph = parsed.graph
    before: list[GraphNode] = []
    inputs = [_value(SLOTS, _INT64, [None, 1])]
    for index, state in enumerate(states):
        if state.tensor.batch_axis != 0:
            raise NotRewritableError(f"state {state.tensor.name} has another axis before its batch")
        if not _follows(graph, state):
            raise NotRewritableError(f"{state.output} does not follow from {state.tensor.name}")
        names_of = names(index, state)
        kind = _take(graph.input, state.tensor.name).type.tensor_type.elem_type
        _take(graph.output, state.output)
        shape = state.tensor.shape
        inputs += [
            _value(names_of.arena, kind, [capacity, *shape]),
            _value(names_of.fresh, _BOOL, [None, *(1 for _ in shape)]),
            # Of any number of rows: one for all, or one for each.
            _value(names_of.initial, kind, [None, *shape], "statewise.initial"),
        ]
        kept = f"statewise.kept.{index}"
        before += [
            _node("GatherND", [names_of.arena, SLOTS], kept),
            _node("Where", [names_of.fresh, names_of.initial, kept], state.tensor.name),
        ]
        _write_back(graph, index, state, names_of, kind, capacity)
    own = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *own])
    graph.input.extend(inputs)
    return parsed.SerializeToString()


def _write_back(
    graph: Graph, index: int, state: State, names_of: Names, kind: int, capacity: int
) -> None:
    """Adds the nodes behind a state's output."""
    shape = state.tensor.shape
    graph.node.append(
        _node("ScatterND", [names_of.arena, SLOTS, state.output], names_of.next_arena)
    )
    graph.output.append(_value(names_of.next_arena, kind, [capacity, *shape]))
    if names_of.sound is None:
        return
    dtype, size = state.tensor.dtype, math.prod(shape)
    zero, ones = f"statewise.zero.{index}", f"statewise.ones.{index}"
    graph.initializer.extend(
        [
            _tensor(zero, kind, np.zeros(1, dtype)),
            _tensor(ones, kind, np.ones((size, 1), dtype)),
        ]
    )
    flat, nothing = f"statewise.flat.{index}", f"statewise.nothing.{index}"
    graph.node.extend(
        [
            _node("Flatten", [state.output], flat, axis=1),
            _node("Mul", [flat, zero], nothing),
            _node("MatMul", [nothing, ones], names_of.sound),
        ]
    )
    graph.output.append(_value(names_of.sound, kind, [None, 1]))


def _follows(graph: Graph, state: State) -> bool:
    """Whether a state's output is computed from its input, so that it is read before it is kept."""
    reached = {state.tensor.name}
    # Nodes of a graph stand in an order in which each follows those that it reads.
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
    return state.output in reached


def _take(values: Any, name: str) -> GraphValue:
    """Removes a value from the graph's inputs or outputs and gives it."""
    for place, value in enumerate(values):
        if value.name == name:
            found = GraphValue()
            found.CopyFrom(value)
            del values[place]
            return found
    raise NotRewritableError(f"the graph has no {name}")


def _node(operator: str, inputs: list[str], output: str, **attributes: int) -> GraphNode:
    return GraphNode(
        op_type=operator,
        name=f"{output}.node",
        input=inputs,
        output=[output],
        attribute=[
            GraphAttribute(name=name, i=value, type=GraphAttribute.TYPE_INT)
            for name, value in attributes.items()
        ],
    )


def _value(
    name: str, kind: int, shape: list[int | None], rows: str = "statewise.batch"
) -> GraphValue:
    """A tensor of the graph's outside; None stands for a number of rows."""
    dims = [
        GraphDimension(dim_param=rows) if size is None else GraphDimension(dim_value=size)
        for size in shape
    ]
    tensor_type = GraphTensorType(elem_type=kind, shape=GraphShape(dim=dims))
    return GraphValue(name=name, type=GraphType(tensor_type=tensor_type))


def _tensor(name: str, kind: int, values: np.ndarray[Any, Any]) -> GraphTensor:
    return GraphTensor(name=name, data_type=kind, dims=values.shape, raw_data=values.tobytes())
