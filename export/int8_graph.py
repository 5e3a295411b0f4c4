"""The single-step graph with its products of states in 8-bit integers.

Owns what differs from the float32 graph: the nodes of a product, and its weights there and back.
Knows neither files nor engines.

A product is `[x, h] W`: the rows of W that meet the network's own input are a float32 Gemm with the
bias; states are rounded to uint8 at their fixed scale and meet int8 weights in MatMulInteger, whose
sums become float32 again with a scale a column. Written with QuantizeLinear and DequantizeLinear
around a float32 product instead, ONNX Runtime was 2 to 20 times slower than float32, and its rows
changed each other's bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from export import int8, step_graph, step_weights
from export.graph_reader import GraphReader
from export.graph_writer import FLOAT, GraphWriter
from export.manifest import is_reset_after
from protos.statewise.v1.manifest_pb2 import Cell
from training.reference import Layer, Network

# The operator by which a graph of this kind is known.
OPERATOR = "MatMulInteger"
_SCALE, _ZERO = "state.scale", "state.zero"


def build(network: Network) -> onnx.ModelProto:
    """The graph of one step, with the inputs and outputs of the float32 one."""
    return step_graph.build_with(network, Int8Products)


def read_layer(graph: GraphReader, index: int, width: int, cell: Cell) -> Layer:
    """Unpacks one layer of a graph, as the network that its whole numbers stand for.

    Args:
        graph: a graph of this form.
        index: 0 is the bottom layer.
        width: of the layer's input.
        cell: what the manifest says of the cell.

    Raises:
        ArtifactError: a constant is missing or has another shape.
    """

    def read(part: str, rows: int, columns: int) -> step_weights.Part:
        name, exact = f"layers.{index}.{part}", int8.exact_rows(part, index, width)
        blocks = []
        if exact:
            blocks.append(graph.weight(f"{name}.input.weight", (exact, columns)))
        if exact < rows:
            whole = graph.whole(f"{name}.state.weight", (rows - exact, columns))
            scale = graph.weight(f"{name}.state.scale", (columns,))
            blocks.append(int8.dequantize(whole, scale))
        return np.concatenate(blocks), step_weights.read_bias(graph, name, columns, cell)

    return step_weights.unpack(read, width, cell.hidden, reset_after=is_reset_after(cell))


@dataclass(frozen=True)
class Int8Products:
    """The products of one layer; every tensor but the network's own input is a state."""

    graph: GraphWriter
    network: Network
    index: int

    def add_weights(self) -> None:
        """For each part float32 rows, whole numbers with their scales, and a bias."""
        if self.index == 0:
            self.graph.constant(_SCALE, np.asarray(int8.STATE_SCALE))
            self.graph.constant(_ZERO, np.asarray(int8.STATE_ZERO))
        layer = self.network.layers[self.index]
        for part, (weight, bias) in step_weights.pack(layer, self.network.reset_after).items():
            exact = int8.exact_rows(part, self.index, layer.w_z.shape[1])
            if exact:
                self.graph.weight(self._name(f"{part}.input.weight"), weight[:exact])
            if exact < len(weight):
                whole, scale = int8.quantize(weight[exact:])
                self.graph.constant(self._name(f"{part}.state.weight"), whole)
                self.graph.constant(self._name(f"{part}.state.scale"), scale)
            if self.network.bias:
                self.graph.weight(self._name(f"{part}.bias"), bias)

    def add(self, tensors: Sequence[str], part: str) -> str:
        """Adds `[a, b] W + bias`."""
        name = self._name(part)
        exact = self.index == 0 and part != step_weights.CANDIDATE_RECURRENT
        bias = [f"{name}.bias"] if self.network.bias else []
        inputs, states = (tensors[:1], tensors[1:]) if exact else ([], tensors)
        if not states:
            return self._add_input(inputs, name, bias, "product")
        total = self._add_states(states, name)
        if inputs:
            bias = [self._add_input(inputs, name, bias, "input.product")]
        return self.graph.node("Add", [total, *bias], f"{name}.product") if bias else total

    def _add_input(self, inputs: Sequence[str], name: str, bias: Sequence[str], to: str) -> str:
        return self.graph.node("Gemm", [*inputs, f"{name}.input.weight", *bias], f"{name}.{to}")

    def _add_states(self, states: Sequence[str], name: str) -> str:
        """The product of states, in whole numbers and back.

        A state that meets two weights is rounded twice; engines merge nodes that are equal.
        """
        constants = [_SCALE, _ZERO]
        rounded = [
            self.graph.node("QuantizeLinear", [state, *constants], f"{name}.rounded.{index}")
            for index, state in enumerate(states)
        ]
        joined = rounded[0]
        if len(rounded) > 1:
            joined = self.graph.node("Concat", rounded, f"{name}.joined", axis=1)
        sums = self.graph.node(OPERATOR, [joined, f"{name}.state.weight", _ZERO], f"{name}.sums")
        real = self.graph.node("Cast", [sums], f"{name}.real", to=FLOAT)
        return self.graph.node("Mul", [real, f"{name}.state.scale"], f"{name}.states")

    def _name(self, part: str) -> str:
        return f"layers.{self.index}.{part}"
