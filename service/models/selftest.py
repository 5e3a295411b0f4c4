"""Replays a model's golden vectors on the engine that will serve it.

Owns the comparison with the float64 reference's answers and the numeric fingerprint: the hash of
the engine's own bits. Two engines with one fingerprint give every stream the same bits; with
different ones, a stream that moves goes on within tolerance.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.artifacts.artifact import Artifact, Golden
from service.errors import ArtifactError
from service.tensors import Array, Signature

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


class Tested(Protocol):
    """What a replay needs of whatever will serve.

    Attributes:
        artifact: the model, and `signature`, what a step takes and gives.
        provider: what really computes.
        max_batch: rows of a call at most.
        inputs, outputs: packed rows, (max_batch, width).
    """

    artifact: Artifact
    signature: Signature
    provider: str
    max_batch: int
    inputs: Array
    outputs: Array

    def start(self, states: Sequence[Array]) -> None:
        """Lets the next step begin in given states, of each tensor (rows, *shape)."""

    def follow(self, rows: int) -> None:
        """A step of the first rows from where their last one, or `start`, left them."""

    def kept(self, rows: int) -> Sequence[Array]:
        """The states of the first rows, of each tensor (rows, *shape)."""

    def one_at_a_time(self) -> None:
        """From now on a call has one row."""


def replay(engine: Tested, *longer: Tested) -> SelfTest:
    """Runs the golden vectors step by step.

    Args:
        engine: will serve.
        longer: the same for calls of more steps, where it takes whole chunks.

    Raises:
        ArtifactError: an output or a final state is off by more than the tolerance.
    """
    golden = engine.artifact.golden
    if golden is None:
        return _without_proof(engine, *longer)
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


def _run(engine: Tested, golden: Golden) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Outputs (steps, batch, outputs) and final state (batch, state size) of the golden inputs."""
    steps, batch, _ = golden.inputs.shape
    outputs = np.empty(golden.outputs.shape, np.float32)
    final_state = np.empty(golden.final_state.shape, np.float32)
    for start in range(0, batch, engine.max_batch):
        rows = slice(start, min(start + engine.max_batch, batch))
        count = rows.stop - start
        engine.start([golden.initial_state[rows]])
        for step in range(steps):
            engine.inputs[:count] = golden.inputs[step, rows]
            engine.follow(count)
            outputs[step, rows] = engine.outputs[:count]
        (final_state[rows],) = engine.kept(count)
    return outputs, final_state


def _without_proof(engine: Tested, *longer: Tested) -> SelfTest:
    """A model without golden vectors: its streams must not change each other's bits.

    Where they do, by a batch axis that is none or by kernels that sum in another order, it is
    served one stream a call.
    """
    bits = b""
    for one in (engine, *longer):
        alone = [_short_run(one, [row]) for row in range(min(max(_COMPANIES), one.max_batch))]
        bits += b"".join(alone)
        company = _harmful_company(one, alone)
        if company:
            _log.warning(
                "model %s: %d streams in one call change each other's bits, so that it is "
                "served one stream a call",
                *(engine.artifact.name, company),
            )
            engine.one_at_a_time()
            break
    digest = hashlib.sha256(bits).hexdigest()
    return SelfTest(0.0, 0.0, "", 0, f"sha256:{digest}", proven=False)


def _harmful_company(engine: Tested, alone: Sequence[bytes]) -> int:
    """How many streams in one call have other bits than each alone; 0 for no such number."""
    for company in _COMPANIES:
        rows = list(range(company))
        if 1 < company <= len(alone) and _short_run(engine, rows) != b"".join(alone[:company]):
            return company
    return 0


def _short_run(engine: Tested, streams: list[int]) -> bytes:
    """The bits of some streams' outputs and states over a few steps, stream after stream."""
    rows = len(streams)
    signature = engine.signature
    layout = signature.input_layout()
    generators = [np.random.default_rng(stream) for stream in streams]
    engine.start([np.stack([state.initial] * rows) for state in signature.states])
    found: list[list[bytes]] = [[] for _ in streams]
    for _ in range(_COMPANY_STEPS):
        for row, generator in enumerate(generators):
            for index, tensor in enumerate(layout.tensors):
                values = _plausible(generator, tensor.shape, tensor.dtype)
                layout.view(engine.inputs[:rows], index)[row] = values
        engine.follow(rows)
        states = engine.kept(rows)
        for row, parts in enumerate(found):
            parts += [engine.outputs[row].tobytes(), *(state[row].tobytes() for state in states)]
    return b"".join(part for parts in found for part in parts)


def _plausible(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Numbers that most models take: small ones, of which whole ones are indices of something."""
    if dtype.kind == "f":
        return generator.normal(scale=0.1, size=shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)
