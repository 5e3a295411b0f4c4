"""The two forms of an artefact's graph, behind one face.

Owns what differs between them: how a form is built, read back, and recognised. Knows nothing of
files and engines.
"""

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from export import sequence_graph, step_graph, step_weights, tensors
from export.graph_reader import GraphReader
from protos.statewise.v1.manifest_pb2 import Cell
from training.reference import Layer, Network


@dataclass(frozen=True)
class Form:
    """One form of graph.

    Attributes:
        build: writes a network as a graph of this form.
        signature: the graph's inputs and outputs.
        read_layer: reads one recurrent layer back.
        exact: whether a stream's bits depend neither on its batch company nor on how it is cut
            into chunks; where they may, float32's rounding bounds the difference.
    """

    build: Callable[[Network], onnx.ModelProto]
    signature: Callable[[tensors.Sizes], tensors.Signature]
    read_layer: Callable[[GraphReader, int, int, Cell], Layer]
    exact: bool


STEP = Form(step_graph.build, tensors.step_signature, step_weights.read_layer, exact=True)
SEQUENCE = Form(
    sequence_graph.build, tensors.sequence_signature, sequence_graph.read_layer, exact=False
)


def form_of(model: onnx.ModelProto) -> Form:
    """Recognises a graph's form by its inputs."""
    names = {info.name for info in model.graph.input}
    return SEQUENCE if tensors.SEQUENCE_LENGTHS in names else STEP
