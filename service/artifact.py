"""A model file with the manifest that it carries, checked as far as the file alone allows.

Owns reading: the digest is recomputed, the manifest parsed, its packed numbers unpacked. Whether
the manifest matches the graph is the engine's to say, whether the numbers come out right the
self-test's. Knows nothing of ONNX Runtime.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import DTypeLike, NDArray

from protos.content import MANIFEST_KEY, content_digest, read_metadata
from protos.plausible import check_plausible
from protos.statewise.v1.manifest_pb2 import GoldenVectors, Manifest, Output
from protos.statewise.v1.manifest_pb2 import State as StateDeclaration
from service.errors import ArtifactError

_FORMAT_VERSION = 1
_EXPORT_AGAIN = "export the model again"


@dataclass(frozen=True)
class Port:
    """A streaming tensor of the graph, float32 [batch, channels]."""

    tensor: str
    channels: tuple[str, ...]

    @property
    def width(self) -> int:
        """Numbers a step."""
        return len(self.channels)


@dataclass(frozen=True)
class State:
    """The state that a step takes and gives, float32 [batch, size].

    Attributes:
        input_tensor, output_tensor: its names on both sides of the graph.
        initial: first value of every stream, (size,).
    """

    input_tensor: str
    output_tensor: str
    initial: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Numbers a stream has to remember."""
        return int(self.initial.size)


@dataclass(frozen=True)
class Golden:
    """Inputs with the answers of the float64 reference.

    Attributes:
        inputs: (steps, batch, features).
        initial_state: (batch, state size).
        outputs: (steps, batch, outputs).
        final_state: (batch, state size).
        tolerance: largest absolute error allowed.
    """

    inputs: NDArray[np.float32]
    initial_state: NDArray[np.float32]
    outputs: NDArray[np.float64]
    final_state: NDArray[np.float64]
    tolerance: float


@dataclass(frozen=True)
class Artifact:
    """A model and what it says about itself.

    Attributes:
        model: the bytes of the ONNX file.
        classes: whether the outputs are probabilities of classes that exclude each other.
        steps_per_second: 0 where steps are not tied to time.
    """

    path: Path
    model: bytes
    name: str
    digest: str
    input: Port
    output: Port
    state: State
    classes: bool
    steps_per_second: float
    golden: Golden


def load(path: Path) -> Artifact:
    """Reads a model file.

    Raises:
        ArtifactError: the file is missing, truncated, foreign or at odds with itself.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: can't be read: {error.strerror}") from None
    manifest = _manifest(path, model)
    try:
        return _artifact(path, model, manifest)
    except ValueError as error:
        raise ArtifactError(f"{path}: manifest: {error}; {_EXPORT_AGAIN}") from None


def _manifest(path: Path, model: bytes) -> Manifest:
    try:
        text = read_metadata(model).get(MANIFEST_KEY)
        digest = content_digest(model)
    except ValueError as error:
        raise ArtifactError(
            f"{path}: not a whole ONNX file ({error}); copy or {_EXPORT_AGAIN}"
        ) from None
    if text is None:
        raise ArtifactError(
            f"{path}: has no manifest ({MANIFEST_KEY!r} in its metadata); make it with "
            "`python -m export`"
        )
    try:
        manifest = json_format.Parse(text, Manifest(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        line = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path}: manifest: can't be parsed ({line}); {_EXPORT_AGAIN}"
        ) from None
    if manifest.format_version != _FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: manifest: format_version is {manifest.format_version}, this server reads "
            f"{_FORMAT_VERSION}; use a server of the exporter's version"
        )
    if manifest.content_digest != digest:
        raise ArtifactError(
            f"{path}: content_digest is {manifest.content_digest!r} but the file's content has "
            f"{digest}: it was changed after its proof; {_EXPORT_AGAIN}"
        )
    return manifest


def _artifact(path: Path, model: bytes, manifest: Manifest) -> Artifact:
    """Raises ValueError that names the manifest's field where it is at odds with itself."""
    check_plausible(manifest)
    if len(manifest.states) != 1:
        raise ValueError(f"states has {len(manifest.states)} entries, 1 is served")
    features = tuple(channel.name for channel in manifest.input.channels)
    outputs = tuple(channel.name for channel in manifest.output.channels)
    state = _state(manifest.states[0])
    return Artifact(
        path=path,
        model=model,
        name=manifest.name,
        digest=manifest.content_digest,
        input=Port(manifest.input.tensor, features),
        output=Port(manifest.output.tensor, outputs),
        state=state,
        classes=manifest.output.activation == Output.ACTIVATION_SOFTMAX,
        steps_per_second=manifest.steps_per_second,
        golden=_golden(manifest.golden, len(features), len(outputs), state.size),
    )


def _state(state: StateDeclaration) -> State:
    shape = tuple(state.shape)
    if len(shape) != 1 or state.batch_axis != 0 or state.dtype != "float32":
        raise ValueError(
            f"state {state.input_tensor!r} has shape {list(shape)}, batch_axis {state.batch_axis}, "
            f"dtype {state.dtype!r}; one float32 row a stream, batch first, is served"
        )
    size = shape[0]
    initial = (
        _unpack("states.initial_value", state.initial_value, "<f4", (size,))
        if state.initial_value
        else np.zeros(size, np.float32)
    )
    return State(state.input_tensor, state.output_tensor, initial)


def _golden(golden: GoldenVectors, features: int, outputs: int, state: int) -> Golden:
    steps, batch = golden.steps, golden.batch
    if steps == 0 or batch == 0:
        raise ValueError(f"golden has {steps} steps of {batch} streams; nothing could be replayed")
    return Golden(
        inputs=_unpack("golden.inputs", golden.inputs, "<f4", (steps, batch, features)),
        initial_state=_unpack("golden.initial_state", golden.initial_state, "<f4", (batch, state)),
        outputs=_unpack("golden.outputs", golden.outputs, "<f8", (steps, batch, outputs)),
        final_state=_unpack("golden.final_state", golden.final_state, "<f8", (batch, state)),
        tolerance=golden.tolerance,
    )


def _unpack(field: str, data: bytes, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data) != needed:
        raise ValueError(f"{field} has {len(data)} bytes, shape {list(shape)} takes {needed}")
    return np.frombuffer(data, dtype).reshape(shape)
