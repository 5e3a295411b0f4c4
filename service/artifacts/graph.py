"""The outside of a graph, and what it means that a declaration contradicts it.

Owns the words for a graph's nodes, and the comparisons of names, dtypes and shapes that every part
of a declaration needs. Knows nothing of sessions: a graph is its nodes and a way to run it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from protos.inference.model_config_pb2 import DataType
from service.errors import ArtifactError
from service.tensors import Array, dtype_of_onnx, dtype_of_wire, wire_name


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


class Contradiction(Exception):
    """What is wrong, in one line without the file's name."""


def find(nodes: Mapping[str, Node], field: str, key: str, name: str) -> Node:
    """The node that a field names.

    Raises:
        Contradiction: it is not there.
    """
    if name not in nodes:
        raise Contradiction(
            f"{field}: {key} {name!r} is not in the graph, which has {', '.join(nodes)}"
        )
    return nodes[name]


def same_dtype(field: str, declared: int, node: Node) -> None:
    """Compares a declared data_type with the graph's.

    Raises:
        Contradiction: they differ.
    """
    name = DataType.Name(declared)  # type: ignore[arg-type]
    if dtype_of_wire(name) != node.dtype:
        raise Contradiction(
            f"{field}: data_type is {name}, the graph's is TYPE_{wire_name(node.dtype)}"
        )


def fits(shape: tuple[int | None, ...], wanted: Iterable[int | None]) -> bool:
    """Whether dims can be a shape whose free axes are None; -1 leaves an axis to the graph."""
    dims = tuple(wanted)
    return len(shape) == len(dims) and all(
        size is None or said in (-1, size) for size, said in zip(shape, dims, strict=True)
    )


def shown(shape: tuple[int | None, ...]) -> str:
    """A shape for people."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
