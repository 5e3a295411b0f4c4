"""What peers are told of the model, as files; whether they understand it shows where they run."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from benchmarks.peers import seldon, triton

OPTIONS = argparse.Namespace(model=Path("/m/model.onnx"), name="bench", features=3, outputs=2)


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package of Triton's with nothing in it but a backend and the stub of this Python."""
    place = tmp_path / "package"
    (place / "backends" / "python").mkdir(parents=True)
    stub = place / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub.mkdir(parents=True)
    (stub / "triton_python_backend_stub").write_text("stub")
    monkeypatch.setattr(triton, "_package", lambda: place)
    return place


def test_triton_gets_sequences_a_model_and_a_stub(package, tmp_path):
    repository = tmp_path / "models"
    triton._write_model(repository, OPTIONS)
    config = (repository / "bench" / "config.pbtxt").read_text()
    assert "dims: [ 3 ]" in config
    assert "dims: [ 2 ]" in config
    assert 'string_value: "/m/model.onnx"' in config
    compile((repository / "bench" / "1" / "model.py").read_text(), "model.py", "exec")
    assert (tmp_path / "backends" / "python" / "triton_python_backend_stub").read_text() == "stub"


def test_mlserver_gets_the_model_and_streams(tmp_path):
    seldon._write(tmp_path, "model-settings.json", seldon._model(OPTIONS))
    assert json.loads((tmp_path / "model-settings.json").read_text()) == {
        "name": "bench",
        "implementation": "seldon_runtime.Recurrent",
        "parameters": {"uri": "/m/model.onnx"},
    }
    # Beside streams it refuses to start with either.
    settings = seldon._settings(1, 2)
    assert (settings["gzip_enabled"], settings["metrics_endpoint"]) == (False, None)
