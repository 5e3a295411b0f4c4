"""The forms of an artefact's graph, behind one face.

Owns what differs between them: how a form is built, read back, recognised and judged. Knows nothing
of files and engines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from export import int8, int8_graph, int8_twin, sequence_graph, step_graph, step_weights, tensors
from export.cases import Answer, Case
from export.errors import FormError
from export.graph_reader import GraphReader
from export.tolerances import Tolerances, measure_tolerances
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
        precision: of the products with states, as the manifest says it.
        keep: the network that the graph's weights stand for; the same one but for int8.
        measure_tolerances: how far an engine may be off.
        smallest_hidden: below it the form is not worth having.
    """

    build: Callable[[Network], onnx.ModelProto]
    signature: Callable[[tensors.Sizes], tensors.Signature]
    read_layer: Callable[[GraphReader, int, int, Cell], Layer]
    exact: bool
    precision: "Cell.Precision.ValueType" = Cell.PRECISION_FLOAT32
    keep: Callable[[Network], Network] = lambda network: network
    measure_tolerances: Callable[[Network, Sequence[tuple[Case, Answer]]], Tolerances] = (
        measure_tolerances
    )
    smallest_hidden: int = 1

    def check_worth(self, network: Network) -> None:
        """Refuses a network that the form makes worse.

        Raises:
            FormError: it is too small.
        """
        if network.hidden < self.smallest_hidden:
            raise FormError(
                f"hidden is {network.hidden}: int8 is less exact than float32, and not faster "
                f"below {self.smallest_hidden}; leave --quantize out"
            )


STEP = Form(step_graph.build, tensors.step_signature, step_weights.read_layer, exact=True)
SEQUENCE = Form(
    sequence_graph.build, tensors.sequence_signature, sequence_graph.read_layer, exact=False
)
STEP_INT8 = Form(
    int8_graph.build,
    tensors.step_signature,
    int8_graph.read_layer,
    exact=True,
    precision=Cell.PRECISION_INT8,
    keep=int8.keep,
    measure_tolerances=int8_twin.measure_tolerances,
    smallest_hidden=int8.SMALLEST_HIDDEN,
)


def form_of(model: onnx.ModelProto) -> Form:
    """Recognises a graph's form by its inputs and operators."""
    names = {info.name for info in model.graph.input}
    if tensors.SEQUENCE_LENGTHS in names:
        return SEQUENCE
    return STEP_INT8 if GraphReader(model).runs(int8_graph.OPERATOR) else STEP
