"""The file: whole, unchanged and ours, or refused in one line; written whole or not at all."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.artifact import Artifact, read_artifact, seal, write_file
from export.errors import ArtifactError, OutputError
from protos.content import MANIFEST_KEY, content_digest, read_metadata

REFUSALS = r"truncated or not ONNX|has no manifest"


@pytest.fixture
def artifact(make: Callable[..., Artifact]) -> Artifact:
    return make()


@pytest.fixture
def path(artifact: Artifact, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    write_file(path, seal(artifact))
    return path


def change(path: Path, edit: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(path)
    edit(model)
    path.write_bytes(model.SerializeToString())


def edit_manifest(path: Path, old: str, new: str) -> None:
    def edit(model: onnx.ModelProto) -> None:
        (entry,) = model.metadata_props
        assert old in entry.value
        entry.value = entry.value.replace(old, new)

    change(path, edit)


def test_what_was_written_is_read(artifact: Artifact, path: Path) -> None:
    read = read_artifact(path)

    assert read.manifest == artifact.manifest
    assert read.model.graph == artifact.model.graph


def test_the_digest_is_that_of_the_file_and_of_the_proven_graph(
    artifact: Artifact, path: Path
) -> None:
    digest = content_digest(path.read_bytes())

    assert artifact.manifest.content_digest == digest
    assert digest == content_digest(artifact.model.SerializeToString(deterministic=True))
    assert list(read_metadata(path.read_bytes())) == [MANIFEST_KEY]


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(60), *range(60, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ArtifactError, match=REFUSALS) as refusal:
            read_artifact(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"a text\n", b"PK\x03\x04" * 50, b"\x80\x04." * 9])
def test_a_file_of_another_kind_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)

    with pytest.raises(ArtifactError, match=REFUSALS):
        read_artifact(path)


def test_somebody_else_s_model_is_refused(path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    node = helper.make_node("Relu", ["x"], ["y"])
    onnx.save(helper.make_model(helper.make_graph([node], "other", [value], [result])), path)

    with pytest.raises(
        ArtifactError, match=r"no manifest .*'statewise\.manifest'.*python -m export"
    ):
        read_artifact(path)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"can't read .*none\.onnx: No such file"):
        read_artifact(tmp_path / "none.onnx")
    with pytest.raises(ArtifactError, match=r"can't read .*: Is a directory"):
        read_artifact(tmp_path)


def test_one_changed_weight_is_refused(path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        values = numpy_helper.to_array(tensor) + np.float32(1e-7)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    change(path, edit)

    with pytest.raises(ArtifactError, match="was changed after its export"):
        read_artifact(path)


def test_another_digest_in_the_manifest_is_refused(artifact: Artifact, path: Path) -> None:
    edit_manifest(path, artifact.manifest.content_digest, "sha256:" + "0" * 64)

    with pytest.raises(ArtifactError, match="its manifest says sha256:0000"):
        read_artifact(path)


def test_a_manifest_of_another_version_is_refused(path: Path) -> None:
    edit_manifest(path, '"format_version": 1', '"format_version": 2')

    with pytest.raises(ArtifactError, match=r"format_version 2, .* reads 1"):
        read_artifact(path)


@pytest.mark.parametrize(
    ("old", "new"), [('{"cell"', '"cell"'), ('"hidden": 6', '"hidden": "six"')]
)
def test_a_damaged_manifest_is_refused(old: str, new: str, path: Path) -> None:
    edit_manifest(path, old, new)

    with pytest.raises(ArtifactError, match="has a damaged manifest") as refusal:
        read_artifact(path)
    assert "\n" not in str(refusal.value)


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "models/activity/1/model.onnx"

    write_file(path, b"old")
    with path.open("rb") as reader:
        write_file(path, b"new")
        # A server that is reading goes on with the whole old file.
        assert reader.read() == b"old"

    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        write_file(tmp_path / "model.onnx", b"new")
    finally:
        os.umask(mask)

    assert stat.S_IMODE((tmp_path / "model.onnx").stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OutputError, match=r"can't write .*model\.onnx: No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_is_a_folder_or_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(OutputError, match="name a file in it"):
        write_file(tmp_path, b"new")
    with pytest.raises(OutputError, match="choose another path"):
        write_file(tmp_path / "file/model.onnx", b"new")
