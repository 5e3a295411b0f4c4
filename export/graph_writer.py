"""Writes an ONNX graph node by node.

Owns the versions of the format and the float32 form of the weights. Knows nothing of networks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

# The oldest pair in which every operator used here has its present meaning (Split and Squeeze with
# their sizes as inputs, Softmax over one axis): runtimes since 2020 read it. GRU of this opset has
# no `layout` attribute, so that no runtime can misread the time axis.
OPSET = 13
IR_VERSION = 7

FLOAT = TensorProto.FLOAT
INT32 = TensorProto.INT32

# Name, element type and dimensions of a graph's input or output; a word is a dynamic dimension.
Tensor = tuple[str, int, tuple[int | str, ...]]


class GraphWriter:
    """A graph under construction. Every method returns the name of the tensor that it adds."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, values: ArrayLike) -> str:
        """Adds a float32 constant."""
        return self.constant(name, np.asarray(values, dtype=np.float32))

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Adds an int64 constant: sizes or axes."""
        return self.constant(name, np.asarray(values, dtype=np.int64))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Adds a constant of the dtype that it has."""
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        """Adds a node of one output; an empty input name leaves an optional input out."""
        return self.nodes(operator, inputs, [output], **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int
    ) -> Sequence[str]:
        """Adds a node of several outputs, named after its first one."""
        node = helper.make_node(operator, inputs, outputs, name=outputs[0])
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        self._nodes.append(node)
        return outputs

    def model(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> onnx.ModelProto:
        """The finished model, without metadata."""
        graph = helper.make_graph(
            self._nodes,
            "statewise",
            [helper.make_tensor_value_info(*tensor) for tensor in inputs],
            [helper.make_tensor_value_info(*tensor) for tensor in outputs],
            self._initializers,
        )
        # No producer version: equal weights have equal content digests, whoever exports them.
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="statewise",
        )
