"""A model file with what is declared of it, checked as far as the files alone allow.

Owns reading: the digest is recomputed, our manifest parsed and its packed numbers unpacked; a model
by others comes with a config.pbtxt, or declares nothing. Whether the declaration matches the graph
is the engine's to say, whether the numbers come out right the self-test's. Knows nothing of ONNX
Runtime.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import DTypeLike, NDArray

from protos.content import MANIFEST_KEY, content_digest, external_files, read_metadata
from protos.inference.model_config_pb2 import ModelConfig
from protos.plausible import check_plausible
from protos.statewise.v1.manifest_pb2 import Cell, GoldenVectors, Manifest, Output
from protos.statewise.v1.manifest_pb2 import State as StateDeclaration
from service.artifacts import config
from service.errors import ArtifactError
from service.tensors import Signature, State, Tensor

_FORMAT_VERSION = 1
_EXPORT_AGAIN = "export the model again"
# The tag of ir_version, which every ONNX file has, and writers put first.
_ONNX_BEGINS = b"\x08"
_FLOAT32 = np.dtype(np.float32)


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
    """A model and what is said about it.

    Attributes:
        model: the bytes of the ONNX file.
        digest: "sha256:<hex>" of its content.
        features, outputs: names of the numbers of a step; () where nobody named them.
        classes: whether the outputs are probabilities of classes that exclude each other.
        steps_per_second: 0 where steps are not tied to time.
        signature: what our manifest declares; None for a model by others.
        config: its config.pbtxt; None where there is none.
        golden: the proof that it carries; None for a model by others.
        external: whether it has weights in files beside it.
        int8: whether its products with states are computed in 8-bit integers.
    """

    path: Path
    model: bytes
    name: str
    digest: str
    features: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    classes: bool = False
    steps_per_second: float = 0.0
    signature: Signature | None = None
    config: ModelConfig | None = None
    golden: Golden | None = None
    external: bool = False
    int8: bool = False


def load(path: Path) -> Artifact:
    """Reads a model file, and the config.pbtxt of its model's folder.

    Raises:
        ArtifactError: a file is missing, truncated, foreign or at odds with itself.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: can't be read: {error.strerror}") from None
    try:
        text = read_metadata(model).get(MANIFEST_KEY)
        digest = content_digest(model)
        external = external_files(model)
    except ValueError as error:
        # Of what is no model at all, the place where reading ended would mislead.
        why = f" ({error})" if model.startswith(_ONNX_BEGINS) else ", nor the beginning of one"
        raise ArtifactError(
            f"{path}: not a whole ONNX file{why}; copy or {_EXPORT_AGAIN}"
        ) from None
    declared = config.read(path.parent.parent)
    if text is None:
        _check_external(path, external)
        return Artifact(
            path=path,
            model=model,
            name=path.absolute().parent.parent.name,
            digest=digest,
            config=declared,
            external=bool(external),
        )
    manifest = _manifest(path, text, digest)
    try:
        return _artifact(path, model, manifest, declared)
    except ValueError as error:
        raise ArtifactError(f"{path}: manifest: {error}; {_EXPORT_AGAIN}") from None


def _check_external(path: Path, locations: list[str]) -> None:
    """Weights may lie beside the model, never anywhere else on this machine."""
    folder = path.parent.resolve()
    for location in locations:
        file = folder / location
        if not file.resolve().is_relative_to(folder):
            raise ArtifactError(
                f"{path}: has weights in {location!r}, outside its folder; it is not served: save "
                "the model with its weights inside, or beside it"
            )
        if not file.is_file():
            raise ArtifactError(
                f"{path}: has weights in {location!r}, which is not there; copy it beside the model"
            )


def _manifest(path: Path, text: str, digest: str) -> Manifest:
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


def _artifact(
    path: Path, model: bytes, manifest: Manifest, declared: ModelConfig | None
) -> Artifact:
    """Raises ValueError that names the manifest's field where it is at odds with itself."""
    check_plausible(manifest)
    if len(manifest.states) != 1:
        raise ValueError(f"states has {len(manifest.states)} entries, 1 is served")
    features = tuple(channel.name for channel in manifest.input.channels)
    outputs = tuple(channel.name for channel in manifest.output.channels)
    shape = _state_shape(manifest.states[0])
    # Before any memory is taken for a state of that shape: the vectors hold states as large.
    golden = _golden(manifest.golden, len(features), len(outputs), math.prod(shape))
    state = _state(manifest.states[0], shape)
    return Artifact(
        path=path,
        model=model,
        name=manifest.name,
        digest=manifest.content_digest,
        features=features,
        outputs=outputs,
        classes=manifest.output.activation == Output.ACTIVATION_SOFTMAX,
        steps_per_second=manifest.steps_per_second,
        signature=Signature(
            inputs=(Tensor(manifest.input.tensor, _FLOAT32, (len(features),)),),
            outputs=(Tensor(manifest.output.tensor, _FLOAT32, (len(outputs),)),),
            states=(state,),
        ),
        config=declared,
        golden=golden,
        int8=manifest.cell.precision == Cell.PRECISION_INT8,
    )


def _state_shape(state: StateDeclaration) -> tuple[int, ...]:
    shape = tuple(state.shape)
    if len(shape) != 1 or state.batch_axis != 0 or state.dtype != "float32":
        raise ValueError(
            f"state {state.input_tensor!r} has shape {list(shape)}, batch_axis {state.batch_axis}, "
            f"dtype {state.dtype!r}; one float32 row a stream, batch first, is served"
        )
    return shape


def _state(state: StateDeclaration, shape: tuple[int, ...]) -> State:
    initial = (
        _unpack("states.initial_value", state.initial_value, "<f4", shape)
        if state.initial_value
        else np.zeros(shape, np.float32)
    )
    return State(Tensor(state.input_tensor, _FLOAT32, shape), state.output_tensor, initial)


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
