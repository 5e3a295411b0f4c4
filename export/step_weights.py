"""How a layer's weights are packed for the single-step graph: there and back.

Owns the packing and the names, "layers.0.gates.weight" and so on. Each part is one product, with a
weight (rows of the product's input, columns of its output) and a bias that a network without bias
leaves out. Knows nothing of nodes.
"""

from collections.abc import Callable

import numpy as np

from export.graph_reader import GraphReader
from export.manifest import is_reset_after
from protos.statewise.v1.manifest_pb2 import Cell
from training.reference import Array, Layer

GATES = "gates"
# The reset-before form has one product for the candidate, the reset-after form two.
CANDIDATE = "candidate"
CANDIDATE_INPUT = "candidate.input"
CANDIDATE_RECURRENT = "candidate.recurrent"


# A product's weight, (rows, columns), and its bias, (columns,).
Part = tuple[Array, Array]


def pack(layer: Layer, reset_after: bool) -> dict[str, Part]:
    """The products of one layer by name."""
    gates = np.block([[layer.w_z.T, layer.w_r.T], [layer.u_z.T, layer.u_r.T]])
    parts = {GATES: (gates, np.concatenate([layer.b_z, layer.b_r]))}
    if reset_after:
        parts[CANDIDATE_INPUT] = (layer.w_c.T, layer.b_c)
        parts[CANDIDATE_RECURRENT] = (layer.u_c.T, layer.d_c)
    else:
        parts[CANDIDATE] = (np.concatenate([layer.w_c.T, layer.u_c.T]), layer.b_c)
    return parts


def read_layer(graph: GraphReader, index: int, width: int, cell: Cell) -> Layer:
    """Unpacks one layer of a graph.

    Args:
        graph: a graph of the single-step form.
        index: 0 is the bottom layer.
        width: of the layer's input.
        cell: what the manifest says of the cell.

    Raises:
        ArtifactError: a constant is missing or has another shape.
    """

    def read(part: str, rows: int, columns: int) -> Part:
        name = f"layers.{index}.{part}"
        weight = graph.weight(f"{name}.weight", (rows, columns))
        return weight, read_bias(graph, name, columns, cell)

    return unpack(read, width, cell.hidden, reset_after=is_reset_after(cell))


def read_bias(graph: GraphReader, name: str, columns: int, cell: Cell) -> Array:
    """A product's bias, (columns,); zeros in a network without.

    Raises:
        ArtifactError: it is missing or has another shape.
    """
    return graph.weight(f"{name}.bias", (columns,)) if cell.bias else np.zeros(columns)


def unpack(
    read: Callable[[str, int, int], Part], width: int, hidden: int, *, reset_after: bool
) -> Layer:
    """The layer of some products.

    Args:
        read: gives a product by its name, rows and columns.
        width: of the layer's input.
        hidden: of its state.
        reset_after: the cell form.
    """
    gates, gates_bias = read(GATES, width + hidden, 2 * hidden)
    if reset_after:
        w_c, b_c = read(CANDIDATE_INPUT, width, hidden)
        u_c, d_c = read(CANDIDATE_RECURRENT, hidden, hidden)
    else:
        candidate, b_c = read(CANDIDATE, width + hidden, hidden)
        w_c, u_c, d_c = candidate[:width], candidate[width:], np.zeros(hidden)
    return Layer(
        w_z=gates[:width, :hidden].T,
        w_r=gates[:width, hidden:].T,
        w_c=w_c.T,
        u_z=gates[width:, :hidden].T,
        u_r=gates[width:, hidden:].T,
        u_c=u_c.T,
        b_z=gates_bias[:hidden],
        b_r=gates_bias[hidden:],
        b_c=b_c,
        d_c=d_c,
    )
