"""Replays a model's golden vectors on the engine that will serve it.

Owns the comparison with the float64 reference's answers and the numeric fingerprint: the hash of
the engine's own bits. Two engines with one fingerprint give every stream the same bits; with
different ones, a stream that moves goes on within tolerance.
"""

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact import Golden
from service.engine import Engine
from service.errors import ArtifactError
from service.tensors import Array

_log = logging.getLogger(__name__)
# Streams of one call that are compared with each alone, over so many steps.
_COMPANIES = (2, 5, 32)
_COMPANY_STEPS = 3


@dataclass(frozen=True)
class SelfTest:
    """What a replay found.

    Attributes:
        worst_error: largest absolute difference from the reference.
        tolerance: what the artefact allows.
        where: place of the worst error.
        values: how many numbers were compared.
        fingerprint: "sha256:<hex>" of the engine's outputs and final state.
        proven: whether there was a reference to compare with; a model by others has none.
    """

    worst_error: float
    tolerance: float
    where: str
    values: int
    fingerprint: str
    proven: bool = True

    @property
    def passed(self) -> bool:
        """Whether the engine may serve."""
        return self.worst_error <= self.tolerance

    def summary(self) -> str:
        """A few words for the log."""
        if not self.proven:
            return "without golden vectors, so that its answers are proven by nothing"
        return f"self-test off by {self.worst_error:.2g} of {self.tolerance:.2g} allowed"


def replay(engine: Engine) -> SelfTest:
    """Runs the golden vectors step by step.

    Raises:
        ArtifactError: an output or a final state is off by more than the tolerance.
    """
    golden = engine.artifact.golden
    if golden is None:
        return _without_proof(engine)
    outputs, final_state = _run(engine, golden)
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


def _run(engine: Engine, golden: Golden) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Outputs (steps, batch, outputs) and final state (batch, state size) of the golden inputs."""
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


def _without_proof(engine: Engine) -> SelfTest:
    """A model without golden vectors: its streams must not change each other's bits.

    Where they do, by a batch axis that is none or by kernels that sum in another order, it is
    served one stream a call.
    """
    most = engine.max_batch
    alone = [_short_run(engine, [row]) for row in range(min(max(_COMPANIES), most))]
    for company in _COMPANIES:
        if 1 < company <= most:
            rows = list(range(company))
            if _short_run(engine, rows) != b"".join(alone[row] for row in rows):
                _log.warning(
                    "model %s: %d streams in one call change each other's bits, so that it is "
                    "served one stream a call",
                    *(engine.artifact.name, company),
                )
                engine.one_at_a_time()
                break
    digest = hashlib.sha256(b"".join(alone)).hexdigest()
    return SelfTest(0.0, 0.0, "", 0, f"sha256:{digest}", proven=False)


def _short_run(engine: Engine, streams: list[int]) -> bytes:
    """The bits of some streams' outputs and states over a few steps, stream after stream."""
    rows = len(streams)
    signature = engine.signature
    layout = signature.input_layout()
    generators = [np.random.default_rng(stream) for stream in streams]
    engine.states[:rows] = signature.initial_row()
    found: list[list[bytes]] = [[] for _ in streams]
    for _ in range(_COMPANY_STEPS):
        for row, generator in enumerate(generators):
            for index, tensor in enumerate(layout.tensors):
                values = _plausible(generator, tensor.shape, tensor.dtype)
                layout.view(engine.inputs[:rows], index)[row] = values
        engine.step(rows)
        for row, parts in enumerate(found):
            parts.append(engine.outputs[row].tobytes() + engine.next_states[row].tobytes())
        engine.states[:rows] = engine.next_states[:rows]
    return b"".join(part for parts in found for part in parts)


def _plausible(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Numbers that most models take: small ones, of which whole ones are indices of something."""
    if dtype.kind == "f":
        return generator.normal(scale=0.1, size=shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)
