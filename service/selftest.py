"""Replays a model's golden vectors on the engine that will serve it.

Owns the comparison with the float64 reference's answers and the numeric fingerprint: the hash of
the engine's own bits. Two engines with one fingerprint give every stream the same bits; with
different ones, a stream that moves goes on within tolerance.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine import Engine
from service.errors import ArtifactError


@dataclass(frozen=True)
class SelfTest:
    """What a replay found.

    Attributes:
        worst_error: largest absolute difference from the reference.
        tolerance: what the artefact allows.
        where: place of the worst error.
        values: how many numbers were compared.
        fingerprint: "sha256:<hex>" of the engine's float32 outputs and final state.
    """

    worst_error: float
    tolerance: float
    where: str
    values: int
    fingerprint: str

    @property
    def passed(self) -> bool:
        """Whether the engine may serve."""
        return self.worst_error <= self.tolerance


def replay(engine: Engine) -> SelfTest:
    """Runs the golden vectors step by step.

    Raises:
        ArtifactError: an output or a final state is off by more than the tolerance.
    """
    golden = engine.artifact.golden
    outputs, final_state = _run(engine)
    worst, where = max(
        _worst(outputs, golden.outputs, "output at step {}, row {}, channel {}"),
        _worst(final_state, golden.final_state, "final state at row {}, unit {}"),
    )
    digest = hashlib.sha256(outputs.tobytes() + final_state.tobytes()).hexdigest()
    result = SelfTest(
        worst_error=worst,
        tolerance=golden.tolerance,
        where=where,
        values=outputs.size + final_state.size,
        fingerprint=f"sha256:{digest}",
    )
    if not result.passed:
        raise ArtifactError(
            f"{engine.artifact.path}: self-test failed on provider {engine.provider}: off by "
            f"{worst:.3g} at {where}, tolerance {golden.tolerance:.3g}; it is not served: export "
            "it again, or take another --provider"
        )
    return result


def _worst(
    computed: NDArray[np.float32], expected: NDArray[np.float64], place: str
) -> tuple[float, str]:
    """Largest absolute difference and its place; NaN is further off than any number."""
    error = np.nan_to_num(np.abs(computed - expected), nan=np.inf, posinf=np.inf)
    indices = np.unravel_index(int(error.argmax()), error.shape)
    return float(error[indices]), place.format(*indices)


def _run(engine: Engine) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Outputs (steps, batch, outputs) and final state (batch, state size) of the golden inputs."""
    golden = engine.artifact.golden
    steps, batch, _ = golden.inputs.shape
    outputs = np.empty(golden.outputs.shape, np.float32)
    state = golden.initial_state.copy()
    for start in range(0, batch, engine.max_batch):
        rows = slice(start, min(start + engine.max_batch, batch))
        count = rows.stop - start
        for step in range(steps):
            engine.inputs[:count] = golden.inputs[step, rows]
            engine.states[:count] = state[rows]
            engine.step(count)
            outputs[step, rows] = engine.outputs[:count]
            state[rows] = engine.next_states[:count]
    return outputs, state
