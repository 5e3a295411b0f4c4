"""Golden vectors: inputs with the float64 reference's answers, carried by the artefact.

Owns how they are made and packed. Knows nothing of what replays them.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.cases import Answer, Case, answer, draw_case
from export.errors import ArtifactError
from export.forms import Form
from export.tensors import Sizes
from protos.plausible import largest_tolerance
from protos.statewise.v1.manifest_pb2 import GoldenVectors
from training.reference import Network

# Long enough for an error of the cell to build up, and an odd batch, where some providers err.
STEPS = 64
BATCH = 3


def make_golden(network: Network, form: Form) -> GoldenVectors:
    """Draws golden vectors and answers them; equal networks get equal ones.

    Args:
        network: as it was trained.
        form: of the graph, whose precision makes the tolerance.
    """
    case = draw_case(network, STEPS, BATCH, np.random.default_rng(0))
    expected = answer(network, case)
    golden = GoldenVectors(
        steps=STEPS,
        batch=BATCH,
        inputs=case.inputs.astype("<f4").tobytes(),
        initial_state=case.state.astype("<f4").tobytes(),
        outputs=expected.outputs.astype("<f8").tobytes(),
        final_state=expected.final_state.astype("<f8").tobytes(),
    )
    measured = form.measure_tolerances(network, [(case, expected)]).largest
    golden.tolerance = min(measured, largest_tolerance(golden))
    return golden


def read_golden(golden: GoldenVectors, sizes: Sizes) -> tuple[Case, Answer]:
    """Unpacks golden vectors.

    Raises:
        ArtifactError: a field has another length than the sizes make it.
    """
    steps, batch = golden.steps, golden.batch

    def unpack(field: str, dtype: str, *shape: int) -> NDArray[Any]:
        packed: bytes = getattr(golden, field)
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if not packed or len(packed) != wanted:
            raise ArtifactError(
                f"golden.{field} has {len(packed)} bytes, and {list(shape)} {dtype} makes "
                f"{wanted}; export the model again"
            )
        return np.frombuffer(packed, dtype).reshape(shape)

    case = Case(
        unpack("inputs", "<f4", steps, batch, sizes.features),
        unpack("initial_state", "<f4", batch, sizes.state),
    )
    expected = Answer(
        unpack("outputs", "<f8", steps, batch, sizes.outputs),
        unpack("final_state", "<f8", batch, sizes.state),
    )
    return case, expected
