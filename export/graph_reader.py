"""Reads the weights of an artefact's graph by their names.

Owns the refusal of a graph that lacks what its manifest promises. Knows nothing of networks.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.errors import ArtifactError


class GraphReader:
    """Access to a graph's constants and attributes by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes = {node.name: node for node in model.graph.node}

    def weight(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """A float32 constant, widened.

        Raises:
            ArtifactError: it is missing, of another type or of another shape.
        """
        return self._read(name, onnx.TensorProto.FLOAT, shape).astype(np.float64)

    def whole(self, name: str, shape: tuple[int, ...]) -> NDArray[np.int8]:
        """An int8 constant.

        Raises:
            ArtifactError: as `weight`.
        """
        return self._read(name, onnx.TensorProto.INT8, shape)

    def runs(self, operator: str) -> bool:
        """Whether any node is of an operator."""
        return any(node.op_type == operator for node in self._nodes.values())

    def attribute(self, node: str, name: str) -> int | None:
        """An integer attribute of a node; None where the node or the attribute is missing."""
        for attribute in self._nodes[node].attribute if node in self._nodes else ():
            if attribute.name == name:
                return int(helper.get_attribute_value(attribute))
        return None

    def _read(self, name: str, kind: int, shape: tuple[int, ...]) -> NDArray[Any]:
        tensor = self._initializers.get(name)
        if tensor is None:
            raise ArtifactError(
                f"weight {name!r} is missing from the graph; export the model again"
            )
        found = (tensor.data_type, tuple(tensor.dims))
        if found != (kind, shape):
            described, wanted = map(onnx.TensorProto.DataType.Name, (tensor.data_type, kind))
            raise ArtifactError(
                f"weight {name!r} is {described} {list(tensor.dims)}, and the manifest's sizes "
                f"make it {wanted} {list(shape)}; export the model again"
            )
        return numpy_helper.to_array(tensor)
