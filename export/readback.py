"""Reads a network back from an artefact's own graph.

Owns the way from constants to a network that the reference can run, so that an artefact can be
proven without its checkpoint. Knows nothing of files.
"""

import onnx

from export.edges import read_edges
from export.forms import form_of
from export.graph_reader import GraphReader
from export.manifest import activation_of, is_reset_after, sizes_of
from protos.statewise.v1.manifest_pb2 import Manifest
from training.reference import Network


def read_network(model: onnx.ModelProto, manifest: Manifest) -> Network:
    """The network whose weights stand in a graph.

    Raises:
        ArtifactError: the graph lacks a weight of the cell that the manifest promises, or one has
            another shape.
    """
    graph, cell, sizes = GraphReader(model), manifest.cell, sizes_of(manifest)
    activation = activation_of(manifest)
    edges = read_edges(graph, sizes.features, cell.hidden, sizes.outputs, activation)
    widths = [sizes.features] + [cell.hidden] * (cell.layers - 1)
    read_layer = form_of(model).read_layer
    return Network(
        layers=tuple(read_layer(graph, index, width, cell) for index, width in enumerate(widths)),
        reset_after=is_reset_after(cell),
        bias=cell.bias,
        input_mean=edges.input_mean,
        input_scale=edges.input_scale,
        head_weight=edges.head_weight,
        head_bias=edges.head_bias,
        activation=activation,
        output_mean=edges.output_mean,
        output_scale=edges.output_scale,
    )
