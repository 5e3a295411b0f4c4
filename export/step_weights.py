"""How a layer's weights are packed for the single-step graph: there and back.

Owns the packing and the names, "layers.0.gates.weight" and so on. Each part is one product, with a
weight (rows of the product's input, columns of its output) and a bias that a network without bias
leaves out. Knows nothing of nodes.
"""

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


def pack(layer: Layer, *, reset_after: bool, bias: bool) -> dict[str, Array]:
    """The constants of one layer, by their names after the layer's own."""
    gates = np.block([[layer.w_z.T, layer.w_r.T], [layer.u_z.T, layer.u_r.T]])
    parts = {GATES: (gates, np.concatenate([layer.b_z, layer.b_r]))}
    if reset_after:
        parts[CANDIDATE_INPUT] = (layer.w_c.T, layer.b_c)
        parts[CANDIDATE_RECURRENT] = (layer.u_c.T, layer.d_c)
    else:
        parts[CANDIDATE] = (np.concatenate([layer.w_c.T, layer.u_c.T]), layer.b_c)
    packed = {f"{part}.weight": weight for part, (weight, _) in parts.items()}
    return packed | {f"{part}.bias": values for part, (_, values) in parts.items() if bias}


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
    hidden = cell.hidden

    def read(part: str, rows: int, columns: int) -> tuple[Array, Array]:
        name = f"layers.{index}.{part}"
        bias = graph.weight(f"{name}.bias", (columns,)) if cell.bias else np.zeros(columns)
        return graph.weight(f"{name}.weight", (rows, columns)).T, bias

    gates, gates_bias = read(GATES, width + hidden, 2 * hidden)
    if is_reset_after(cell):
        w_c, b_c = read(CANDIDATE_INPUT, width, hidden)
        u_c, d_c = read(CANDIDATE_RECURRENT, hidden, hidden)
    else:
        candidate, b_c = read(CANDIDATE, width + hidden, hidden)
        w_c, u_c, d_c = candidate[:, :width], candidate[:, width:], np.zeros(hidden)
    return Layer(
        w_z=gates[:hidden, :width],
        w_r=gates[hidden:, :width],
        w_c=w_c,
        u_z=gates[:hidden, width:],
        u_r=gates[hidden:, width:],
        u_c=u_c,
        b_z=gates_bias[:hidden],
        b_r=gates_bias[hidden:],
        b_c=b_c,
        d_c=d_c,
    )
