"""The command on a run that training left behind, or on what is none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import export.__main__ as command
from export.artifact import read_artifact, serialize
from export.cases import draw_case
from export.forms import STEP
from export.proof import ProofSettings
from export.readback import read_network
from export.runtime import open_runner
from training.checkpoint import Checkpoint, save_checkpoint
from training.network import RecurrentNetwork, Shape, initialise
from training.run_folder import RunFolder
from training.trained import Channel


@pytest.fixture(autouse=True)
def quickly(quick: ProofSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "THOROUGH", quick)


@pytest.fixture(params=[False, True])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    shape = Shape(features=4, outputs=3, hidden=6, layers=2, reset_after=request.param, bias=True)
    network = RecurrentNetwork(shape)
    initialise(network, torch.Generator().manual_seed(5))
    torch.nn.init.uniform_(network.input_mean, -5, 5)
    torch.nn.init.uniform_(network.input_scale, 0.5, 2)
    return Checkpoint(
        name="activity",
        shape=shape,
        weights=network.state_dict(),
        features=tuple(Channel(f"sensor {index}", "g") for index in range(4)),
        labels=("rest", "walk", "run"),
        steps_per_second=10.0,
        data_digest="sha256:abc",
        config="seed = 5\n",
        metrics={"test_accuracy_percent": 97.0},
        versions={"torch": str(torch.__version__)},
    )


@pytest.fixture
def run(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    run = tmp_path / "runs/activity"
    run.mkdir(parents=True)
    save_checkpoint(RunFolder(run).best, checkpoint)
    return run


def test_a_run_becomes_an_artefact_with_its_picture_beside_the_run(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "models/activity/1/model.onnx"

    assert command.main(["--run", str(run), "--out", str(out)]) == 0

    manifest = read_artifact(out).manifest
    assert manifest.name == "activity"
    assert [channel.name for channel in manifest.output.channels] == ["rest", "walk", "run"]
    assert manifest.provenance.data_digest == "sha256:abc"
    assert {one.name for one in run.iterdir()} == {"best.pt", "validation.json", "validation.png"}
    assert [one.name for one in out.parent.iterdir()] == ["model.onnx"]


def test_the_artefact_answers_as_the_network_in_torch(
    run: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "model.onnx"
    assert command.main(["--run", str(run), "--out", str(out)]) == 0
    artifact = read_artifact(out)
    network = read_network(artifact.model, artifact.manifest)
    case = draw_case(network, 30, 3, np.random.default_rng(0))

    state = torch.from_numpy(case.state).reshape(3, 2, 6).transpose(0, 1).contiguous()
    with torch.no_grad():
        logits, final_state = checkpoint.network()(torch.from_numpy(case.inputs), state)
    actual = open_runner(serialize(artifact.model), STEP).run(case)

    expected = logits.softmax(dim=-1).numpy()
    np.testing.assert_allclose(actual.outputs, expected, atol=1e-5)
    rows = final_state.transpose(0, 1).reshape(3, 12).numpy()
    np.testing.assert_allclose(actual.final_state, rows, atol=1e-5)


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"

    assert command.main(["--run", str(tmp_path / "none"), "--out", str(out)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "none" in line
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = RunFolder(run).best
    best.write_bytes(best.read_bytes()[:500])
    out = run / "model.onnx"
    out.write_bytes(b"old")

    assert command.main(["--run", str(run), "--out", str(out)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "best.pt" in line
    assert out.read_bytes() == b"old"


def test_a_checkpoint_whose_names_do_not_fit_is_refused(
    run: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(RunFolder(run).best, replace(checkpoint, labels=("rest",)))

    assert command.main(["--run", str(run), "--out", str(run / "model.onnx")]) == 2
    assert "outputs: 1 names for a network of 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "activation"), [("regression", "identity"), ("labels", "sigmoid")]
)
def test_other_kinds_of_target_are_exported_and_proven(
    run: Path, checkpoint: Checkpoint, tmp_path: Path, kind: str, activation: str
) -> None:
    weights = dict(checkpoint.weights)
    units: tuple[str, ...] = ()
    if kind == "regression":
        weights["output_mean"] = torch.tensor([100.0, -3.0, 0.5])
        weights["output_scale"] = torch.tensor([20.0, 2.0, 0.1])
        units = ("vehicles/h", "", "m")
    changed = replace(checkpoint, weights=weights, kind=kind, units=units)
    save_checkpoint(RunFolder(run).best, changed)
    out = tmp_path / "model.onnx"
    assert command.main(["--run", str(run), "--out", str(out)]) == 0
    artifact = read_artifact(out)
    network = read_network(artifact.model, artifact.manifest)
    assert network.activation == activation
    np.testing.assert_allclose(network.output_mean, weights["output_mean"], rtol=1e-6)
    assert tuple(channel.unit for channel in artifact.manifest.output.channels) == (
        units or ("", "", "")
    )
