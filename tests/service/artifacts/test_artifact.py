from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import json_format

from protos.content import MANIFEST_KEY
from protos.statewise.v1.manifest_pb2 import Manifest
from service.artifacts import artifact
from service.errors import ArtifactError
from service.runtime.engine import Engine


def edited(path: Path, target: Path, edit: Callable[[Manifest], object]) -> Path:
    """A copy of the model whose manifest says something else."""
    model = onnx.load(path)
    (entry,) = [entry for entry in model.metadata_props if entry.key == MANIFEST_KEY]
    manifest = json_format.Parse(entry.value, Manifest())
    edit(manifest)
    entry.value = json_format.MessageToJson(manifest)
    onnx.save(model, target)
    return target


def test_an_artefact_tells_all_that_serving_needs(loaded):
    assert loaded.name == "random"
    assert loaded.features == tuple(f"feature_{number}" for number in range(5))
    assert len(loaded.outputs) == 3
    assert loaded.classes
    assert loaded.signature.initial_row().tolist() == [0.0] * 32
    steps, batch, features = loaded.golden.inputs.shape
    assert features == 5
    assert loaded.golden.outputs.shape == (steps, batch, 3)
    assert loaded.golden.initial_state.any()


def test_an_initial_state_of_its_own_is_kept(model_path, tmp_path):
    values = np.linspace(-1, 1, 32, dtype=np.float32)

    def set_initial(manifest):
        manifest.states[0].initial_value = values.tobytes()

    found = artifact.load(edited(model_path, tmp_path / "model.onnx", set_initial))
    assert found.signature.initial_row().tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: setattr(m, "format_version", 9), "format_version is 9, this server reads 1"),
        (lambda m: setattr(m, "content_digest", "sha256:0"), "changed after its proof"),
        (lambda m: m.states.add(), "states has 2 entries, 1 is served"),
        (lambda m: setattr(m.states[0], "batch_axis", 1), "batch_axis 1"),
        (lambda m: setattr(m.states[0], "dtype", "float16"), "dtype 'float16'"),
        (lambda m: setattr(m.states[0], "initial_value", b"1234"), "initial_value has 4 bytes"),
        (lambda m: setattr(m.golden, "steps", 0), "golden has 0 steps"),
        (lambda m: setattr(m.golden, "inputs", b""), "golden.inputs has 0 bytes"),
        (lambda m: setattr(m.golden, "steps", 2**31), "golden.inputs has"),
        (lambda m: setattr(m.golden, "tolerance", 0), "golden.tolerance is 0"),
        (lambda m: setattr(m.golden, "tolerance", float("nan")), "golden.tolerance is nan"),
        (lambda m: m.input.channels.add(name="more"), "golden.inputs has"),
    ],
)
def test_a_manifest_at_odds_with_itself_is_refused_by_field(model_path, tmp_path, edit, message):
    path = edited(model_path, tmp_path / "model.onnx", edit)
    with pytest.raises(ArtifactError, match=message) as refused:
        artifact.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_cut_anywhere_is_refused(model_path, tmp_path):
    whole = model_path.read_bytes()
    path = tmp_path / "model.onnx"
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        # Where only the manifest is cut off, it is a model by others that declares no state.
        with pytest.raises(ArtifactError, match=r"not a whole ONNX file|keeps state|refuses it"):
            Engine(artifact.load(path), provider="cpu", max_batch=1)


def test_a_changed_weight_is_refused(model_path, tmp_path):
    content = bytearray(model_path.read_bytes())
    model = onnx.load_from_string(bytes(content))
    weight = model.graph.initializer[0].raw_data
    place = content.index(weight)
    content[place] ^= 1
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="changed after its proof"):
        artifact.load(path)


def test_what_is_no_artefact_of_ours_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ArtifactError, match="can't be read: No such file"):
        artifact.load(path)
    for text in ("not a model at all", "hello"):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=r"not a whole ONNX file, nor the beginning of one"):
            artifact.load(path)


def test_a_file_that_was_cut_off_is_told_where(model_path, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"not a whole ONNX file \(truncated: the field at"):
        artifact.load(path)


def test_a_manifest_that_is_no_json_is_refused_in_one_line(model_path, tmp_path):
    model = onnx.load(model_path)
    onnx.helper.set_model_props(model, {MANIFEST_KEY: '{"states": \n 7'})
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="can't be parsed") as refused:
        artifact.load(tmp_path / "model.onnx")
    assert "\n" not in str(refused.value)
