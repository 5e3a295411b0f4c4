"""Reads the weights of an artefact's graph by their names.

Owns the refusal of a graph that lacks what its manifest promises. Knows nothing of networks.
"""

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
        tensor = self._initializers.get(name)
        if tensor is None:
            raise ArtifactError(
                f"weight {name!r} is missing from the graph; export the model again"
            )
        found = (tensor.data_type, tuple(tensor.dims))
        if found != (onnx.TensorProto.FLOAT, shape):
            kind = onnx.TensorProto.DataType.Name(tensor.data_type)
            raise ArtifactError(
                f"weight {name!r} is {kind} {list(tensor.dims)}, and the manifest's sizes make it "
                f"FLOAT {list(shape)}; export the model again"
            )
        return numpy_helper.to_array(tensor).astype(np.float64)

    def attribute(self, node: str, name: str) -> int | None:
        """An integer attribute of a node; None where the node or the attribute is missing."""
        for attribute in self._nodes[node].attribute if node in self._nodes else ():
            if attribute.name == name:
                return int(helper.get_attribute_value(attribute))
        return None
