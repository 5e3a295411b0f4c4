"""The artefact as a file: a graph with its manifest in the metadata.

Owns reading, sealing and writing. Knows nothing of what the graph computes.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from export.errors import ArtifactError, OutputError
from export.manifest import FORMAT_VERSION
from protos.content import MANIFEST_KEY, content_digest
from protos.statewise.v1.manifest_pb2 import Manifest


@dataclass(frozen=True)
class Artifact:
    """A graph and what it says about itself."""

    model: onnx.ModelProto
    manifest: Manifest


def read_artifact(path: Path) -> Artifact:
    """Reads an artefact and checks that it is whole and unchanged.

    Raises:
        ArtifactError: it is not there, not ONNX, truncated, without a manifest, or changed since
            its manifest was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"can't read {path}: {error.strerror}; give a model.onnx") from error
    try:
        digest = content_digest(content)
        model = onnx.ModelProto.FromString(content)
    except (ValueError, DecodeError) as error:
        raise ArtifactError(f"{path} is truncated or not ONNX: {error}; copy it again") from error
    manifest = _read_manifest(path, model)
    if manifest.content_digest != digest:
        raise ArtifactError(
            f"{path} was changed after its export: its content is {digest}, and its manifest says "
            f"{manifest.content_digest}; export the model again"
        )
    return Artifact(model, manifest)


def serialize(model: onnx.ModelProto) -> bytes:
    """The bytes of a model; equal models have equal ones."""
    return model.SerializeToString(deterministic=True)


def seal(artifact: Artifact) -> bytes:
    """The bytes of the file: the graph with the manifest beside it."""
    sealed = onnx.ModelProto()
    sealed.CopyFrom(artifact.model)
    del sealed.metadata_props[:]
    text = json_format.MessageToJson(
        artifact.manifest, preserving_proto_field_name=True, sort_keys=True, indent=None
    )
    sealed.metadata_props.add(key=MANIFEST_KEY, value=text)
    return serialize(sealed)


def prepare_path(path: Path) -> None:
    """Makes a file's folder, and tries whether the file could be written.

    Raises:
        OutputError: it could not.
    """
    if path.is_dir():
        raise OutputError(f"can't write {path}: it is a folder; name a file in it")
    partial = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}; choose another path") from error


def write_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and makes its folder.

    Raises:
        OutputError: the path can't be written; what stood there still does.
    """
    prepare_path(path)
    partial = _partial(path)
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}; choose another path") from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _read_manifest(path: Path, model: onnx.ModelProto) -> Manifest:
    texts = [entry.value for entry in model.metadata_props if entry.key == MANIFEST_KEY]
    if not texts:
        raise ArtifactError(
            f"{path} has no manifest under the metadata key {MANIFEST_KEY!r}; "
            "make it with `python -m export`"
        )
    try:
        manifest = json_format.Parse(texts[0], Manifest())
    except json_format.ParseError as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} has a damaged manifest: {reason}; export it again") from error
    if manifest.format_version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has manifest.format_version {manifest.format_version}, and this version of "
            f"Statewise reads {FORMAT_VERSION}; export the model again"
        )
    return manifest
