"""The sequence graph: whole sequences in one call, by the fused GRU operator of ONNX.

Owns an optional second form, for runtimes that have no loop of their own: its nodes, and its
layers' weights there and back. It is time-major, and it does not share its bits with the
single-step form. Knows neither files nor engines.

A stream's state ends at its own length; its outputs after that are the head's answer to zeros, and
mean nothing.
"""

import numpy as np
import onnx

from export import edges, tensors
from export.errors import ArtifactError
from export.graph_reader import GraphReader
from export.graph_writer import GraphWriter
from export.manifest import is_reset_after
from protos.statewise.v1.manifest_pb2 import Cell
from training.reference import Array, Layer, Network

# The attribute that tells the cell forms apart. It is never left to its default: the CUDA provider
# was seen to look at it only where it is present, and to compute the other form where it is not.
CELL_FORM = "linear_before_reset"


def build(network: Network) -> onnx.ModelProto:
    """The graph of whole sequences.

    Returns:
        A model that maps input (steps, batch, features), sequence lengths (batch,) and state
        (batch, layers * hidden) to output (steps, batch, outputs) and next state, steps and batch
        being dynamic.
    """
    graph = GraphWriter()
    below = edges.write_scaling(graph, network, tensors.INPUT)
    names = [f"layers.{index}" for index in range(len(network.layers))]
    graph.integers("axis.layer", [0])
    graph.integers("axis.direction", [1])
    graph.integers("state.sizes", [network.hidden] * len(names))
    states = [f"{name}.state" for name in names]
    graph.nodes("Split", [tensors.STATE, "state.sizes"], states, axis=1)
    for name, layer in zip(names, network.layers, strict=True):
        for part, values in _pack(layer).items():
            graph.weight(f"{name}.{part}", values)
        below = _add_layer(graph, network, name, below)
    graph.node("Concat", [f"{name}.next_state" for name in names], tensors.NEXT_STATE, axis=1)
    edges.write_head(graph, network, below, tensors.OUTPUT)
    return graph.model(*tensors.sequence_signature(tensors.Sizes.of(network)))


def read_layer(graph: GraphReader, index: int, width: int, cell: Cell) -> Layer:
    """Unpacks one layer of a graph.

    Args:
        graph: a graph of this form.
        index: 0 is the bottom layer.
        width: of the layer's input.
        cell: what the manifest says of the cell.

    Raises:
        ArtifactError: a constant is missing or has another shape, or the node does not say which
            cell form it computes.
    """
    name, hidden = f"layers.{index}", cell.hidden
    wanted = int(is_reset_after(cell))
    found = graph.attribute(f"{name}.outputs", CELL_FORM)
    if found != wanted:
        raise ArtifactError(
            f"attribute {CELL_FORM} of {name} is {'missing' if found is None else found}, and the "
            f"manifest's cell form needs {wanted}; export the model again"
        )
    w_z, w_r, w_c = np.split(graph.weight(f"{name}.W", (1, 3 * hidden, width))[0], 3)
    u_z, u_r, u_c = np.split(graph.weight(f"{name}.R", (1, 3 * hidden, hidden))[0], 3)
    b_z, b_r, b_c, _, _, d_c = np.split(graph.weight(f"{name}.B", (1, 6 * hidden))[0], 6)
    return Layer(w_z, w_r, w_c, u_z, u_r, u_c, b_z, b_r, b_c, d_c)


def _pack(layer: Layer) -> dict[str, Array]:
    """The operator's constants; gates in its own order: update, reset, candidate.

    The bias is written for networks without one too, as zeros: some runtimes err without it.
    """
    unused = np.zeros_like(layer.d_c)
    return {
        "W": np.concatenate([layer.w_z, layer.w_r, layer.w_c])[np.newaxis],
        "R": np.concatenate([layer.u_z, layer.u_r, layer.u_c])[np.newaxis],
        "B": np.concatenate([layer.b_z, layer.b_r, layer.b_c, unused, unused, layer.d_c])[
            np.newaxis
        ],
    }


def _add_layer(graph: GraphWriter, network: Network, name: str, below: str) -> str:
    """Adds one layer; below and the answer are (steps, batch, width)."""
    initial = graph.node("Unsqueeze", [f"{name}.state", "axis.layer"], f"{name}.initial_h")
    constants = [f"{name}.{part}" for part in ("W", "R", "B")]
    graph.nodes(
        "GRU",
        [below, *constants, tensors.SEQUENCE_LENGTHS, initial],
        [f"{name}.outputs", f"{name}.final_h"],  # (steps, 1, batch, hidden), (1, batch, hidden)
        hidden_size=network.hidden,
        **{CELL_FORM: int(network.reset_after)},
    )
    graph.node("Squeeze", [f"{name}.final_h", "axis.layer"], f"{name}.next_state")
    return graph.node("Squeeze", [f"{name}.outputs", "axis.direction"], f"{name}.output")
