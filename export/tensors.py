"""The inputs and outputs of an artefact's graph: their names, types and dimensions.

Owns the signature of both forms, and the check that a graph has the one its manifest promises.
Knows nothing of what stands between input and output.
"""

from dataclasses import dataclass

import onnx

from export.errors import ArtifactError
from export.graph_writer import FLOAT, INT32, Tensor
from training.reference import Network

INPUT = "input"
OUTPUT = "output"
# One row holds all layers side by side, bottom first, so that a stream's state is one arena row.
STATE = "state"
NEXT_STATE = "next_state"
# How many steps of each stream are real; sequence form only.
SEQUENCE_LENGTHS = "sequence_lens"

STEPS = "steps"
BATCH = "batch"

Signature = tuple[list[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Sizes:
    """Widths of one step of one stream; `state` counts all layers."""

    features: int
    state: int
    outputs: int

    @classmethod
    def of(cls, network: Network) -> "Sizes":
        """The sizes of a network."""
        return cls(network.features, len(network.layers) * network.hidden, network.outputs)


def step_signature(sizes: Sizes) -> Signature:
    """Inputs and outputs of the single-step form."""
    return (
        [(INPUT, FLOAT, (BATCH, sizes.features)), (STATE, FLOAT, (BATCH, sizes.state))],
        [(OUTPUT, FLOAT, (BATCH, sizes.outputs)), (NEXT_STATE, FLOAT, (BATCH, sizes.state))],
    )


def sequence_signature(sizes: Sizes) -> Signature:
    """Inputs and outputs of the sequence form, which is time-major."""
    return (
        [
            (INPUT, FLOAT, (STEPS, BATCH, sizes.features)),
            (SEQUENCE_LENGTHS, INT32, (BATCH,)),
            (STATE, FLOAT, (BATCH, sizes.state)),
        ],
        [
            (OUTPUT, FLOAT, (STEPS, BATCH, sizes.outputs)),
            (NEXT_STATE, FLOAT, (BATCH, sizes.state)),
        ],
    )


def check_signature(model: onnx.ModelProto, expected: Signature) -> None:
    """Compares a graph's inputs and outputs with the signature that its manifest promises.

    Raises:
        ArtifactError: names the first tensor that differs.
    """
    found = (
        [_tensor(info) for info in model.graph.input],
        [_tensor(info) for info in model.graph.output],
    )
    for kind, actual, promised in zip(("inputs", "outputs"), found, expected, strict=True):
        if actual != promised:
            raise ArtifactError(
                f"the graph's {kind} are {_describe(actual)}, and its manifest promises "
                f"{_describe(promised)}; export the model again"
            )


def _tensor(info: onnx.ValueInfoProto) -> Tensor:
    kind = info.type.tensor_type
    dims = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in kind.shape.dim
    )
    return info.name, kind.elem_type, dims


def _describe(tensors: list[Tensor]) -> str:
    return ", ".join(
        f"{name} {onnx.TensorProto.DataType.Name(kind)}[{', '.join(map(str, dims))}]"
        for name, kind, dims in tensors
    )
