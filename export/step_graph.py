"""The single-step graph: one step of a batch of streams, state in and state out.

Owns the nodes of the form that is served. Knows neither files nor engines, and of the weights only
their names.

Each layer is two products, `[x, h]` with both gates' weights and `[x, r * h]` with the candidate's
(source of the equations: Cho et al. 2014, arXiv 1406.1078). Sigmoid and Tanh directly follow a
Gemm, so that ONNX Runtime fuses them. The reset-after form takes the candidate apart into its
product with x and its product with h, since the reset gate stands between them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx

from export import edges, step_weights, tensors
from export.graph_writer import GraphWriter
from training.reference import Network


class Products(Protocol):
    """A layer's matrix products, which is where the precisions of a graph differ."""

    def add_weights(self) -> None:
        """Adds every constant that the products name."""
        ...

    def add(self, tensors: Sequence[str], part: str) -> str:
        """Adds the product of tensors side by side, (batch, rows), with a part's weight."""
        ...


def build(network: Network) -> onnx.ModelProto:
    """The graph of one step in float32; see `build_with`."""
    return build_with(network, Float32Products)


def build_with(
    network: Network, products: Callable[[GraphWriter, Network, int], Products]
) -> onnx.ModelProto:
    """The graph of one step.

    Args:
        network: the weights.
        products: makes those of a layer, by its number.

    Returns:
        A model that maps input (batch, features) and state (batch, layers * hidden) to output
        (batch, outputs) and next state, batch being dynamic.
    """
    graph = GraphWriter()
    below = edges.write_scaling(graph, network, tensors.INPUT)
    states, next_states = _states(graph, network)
    for index, state in enumerate(states):
        layer = _LayerWriter(graph, network, index, products(graph, network, index))
        layer.add_weights()
        below = layer.add_nodes(below, state, next_states[index])
    if len(next_states) > 1:
        graph.node("Concat", next_states, tensors.NEXT_STATE, axis=1)
    edges.write_head(graph, network, below, tensors.OUTPUT)
    return graph.model(*tensors.step_signature(tensors.Sizes.of(network)))


def _states(graph: GraphWriter, network: Network) -> tuple[list[str], list[str]]:
    """Names of the layers' states and next states; one layer needs no splitting."""
    if len(network.layers) == 1:
        return [tensors.STATE], [tensors.NEXT_STATE]
    names = [f"layers.{index}" for index in range(len(network.layers))]
    states = [f"{name}.state" for name in names]
    sizes = graph.integers("state.sizes", [network.hidden] * len(names))
    graph.nodes("Split", [tensors.STATE, sizes], states, axis=1)
    return states, [f"{name}.next_state" for name in names]


@dataclass(frozen=True)
class _LayerWriter:
    """Adds one layer; below is (batch, width), every other tensor (batch, hidden)."""

    graph: GraphWriter
    network: Network
    index: int
    products: Products

    def add_weights(self) -> None:
        """Every constant that the nodes name."""
        self.products.add_weights()
        self.graph.weight(self._name("one"), 1.0)
        self.graph.integers(self._name("gates.sizes"), [self.network.hidden] * 2)

    def add_nodes(self, below: str, state: str, next_state: str) -> str:
        """h_t = z_t * h_{t-1} + (1 - z_t) * c_t.

        Its four nodes could be three, c + z * (h - c), 2-4% faster; but z = 1 would then not keep
        the old state whole: a state held for 10,000 steps would drift by 1e-5.
        """
        update, reset = self._add_gates(below, state)
        candidate = self._add_candidate(below, state, reset)
        kept = self._node("Mul", [update, state], "kept")
        share = self._node("Sub", [self._name("one"), update], "candidate.share")
        added = self._node("Mul", [share, candidate], "added")
        return self.graph.node("Add", [kept, added], next_state)

    def _add_gates(self, below: str, state: str) -> tuple[str, str]:
        """z_t and r_t, each sigmoid(x_t W^T + h_{t-1} U^T + b), from one product."""
        product = self.products.add([below, state], step_weights.GATES)
        gates = self._node("Sigmoid", [product], "gates")
        names = [self._name("update_gate"), self._name("reset_gate")]
        self.graph.nodes("Split", [gates, self._name("gates.sizes")], names, axis=1)
        return names[0], names[1]

    def _add_candidate(self, below: str, state: str, reset: str) -> str:
        """c_t = tanh(x_t W_c^T + b_c + (r_t * h_{t-1}) U_c^T), the reset before the product."""
        if self.network.reset_after:
            return self._add_reset_after_candidate(below, state, reset)
        remembered = self._node("Mul", [reset, state], "remembered")
        product = self.products.add([below, remembered], step_weights.CANDIDATE)
        return self._node("Tanh", [product], "candidate")

    def _add_reset_after_candidate(self, below: str, state: str, reset: str) -> str:
        """c_t = tanh(x_t W_c^T + b_c + r_t * (h_{t-1} U_c^T + d_c))."""
        recurrent = self.products.add([state], step_weights.CANDIDATE_RECURRENT)
        remembered = self._node("Mul", [reset, recurrent], "remembered")
        product = self.products.add([below], step_weights.CANDIDATE_INPUT)
        total = self._node("Add", [product, remembered], "candidate.sum")
        return self._node("Tanh", [total], "candidate")

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: int) -> str:
        return self.graph.node(operator, inputs, self._name(output), **attributes)

    def _name(self, part: str) -> str:
        return f"layers.{self.index}.{part}"


@dataclass(frozen=True)
class Float32Products:
    """One Gemm each; tensors that stand side by side are joined first."""

    graph: GraphWriter
    network: Network
    index: int

    def add_weights(self) -> None:
        """A weight each, then the biases that the network has."""
        parts = step_weights.pack(self.network.layers[self.index], self.network.reset_after)
        for part, (weight, _) in parts.items():
            self.graph.weight(self._name(f"{part}.weight"), weight)
        for part, (_, bias) in parts.items() if self.network.bias else ():
            self.graph.weight(self._name(f"{part}.bias"), bias)

    def add(self, tensors: Sequence[str], part: str) -> str:
        """Adds `[a, b] W + bias`."""
        joined = tensors[0]
        if len(tensors) > 1:
            joined = self.graph.node("Concat", tensors, self._name(f"{part}.joined"), axis=1)
        inputs = [joined, self._name(f"{part}.weight")]
        if self.network.bias:
            inputs.append(self._name(f"{part}.bias"))
        return self.graph.node("Gemm", inputs, self._name(f"{part}.product"))

    def _name(self, part: str) -> str:
        return f"layers.{self.index}.{part}"
