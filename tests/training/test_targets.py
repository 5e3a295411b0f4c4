"""Whole runs whose targets are numbers or labels, from the command to the tails."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from training.__main__ import main
from training.checkpoint import load_trained
from training.reference import forward


@pytest.fixture
def make_config(small_config: Path, waves: Path):
    """Turns the small configuration into one whose two targets are numbers or labels."""
    table = pa.parquet.read_table(waves)
    slope = table["slope"].to_numpy()
    numbers = [None if step % 7 == 0 else 20.0 + 3 * one for step, one in enumerate(slope)]
    table = table.append_column("speed", pa.array(numbers))
    table = table.append_column("double", pa.array(2.0 * slope - 100))
    table = table.append_column("up", pa.array((slope > 0).astype(int)))
    table = table.append_column("steep", pa.array((np.abs(slope) > 1).astype(int)))
    pa.parquet.write_table(table, waves)

    def make(kind: str, target: str) -> Path:
        text = small_config.read_text().replace(
            'target = "kind"', f'target = {target}, kind = "{kind}"'
        )
        small_config.write_text(text.replace("lanes = 8", "lanes = 16"))
        return small_config

    return make


@pytest.mark.parametrize(
    ("kind", "target", "activation", "names"),
    [
        (
            "regression",
            '["speed", "double"], target_units = { speed = "km/h" }',
            "identity",
            ["speed", "double"],
        ),
        ("labels", '["up", "steep"]', "sigmoid", ["up", "steep"]),
    ],
)
def test_a_run_learns_and_its_tails_agree(
    make_config, tmp_path: Path, capsys, kind: str, target: str, activation: str, names: list[str]
) -> None:
    folder, out = tmp_path / "run", tmp_path / "tails.parquet"
    assert main(["fit", "--config", str(make_config(kind, target)), "--out", str(folder)]) == 0
    assert main(["data", "tails", "--run", str(folder), "--out", str(out)]) == 0
    assert "test steps, from a cold start" in capsys.readouterr().out
    metrics = json.loads((folder / "metrics.json").read_text())
    picture = folder / ("residuals.png" if kind == "regression" else "labels.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    trained = load_trained(folder)
    assert trained.network.activation == activation
    assert [channel.name for channel in trained.outputs] == names

    table = pa.parquet.read_table(out)
    answers, truths = [], []
    for who in np.unique(table["who"].to_numpy()):
        tail = table.filter(pa.compute.equal(table["who"], who))
        columns = [tail[channel.name].to_numpy() for channel in trained.features]
        inputs = np.stack(columns, axis=1)[:, None].astype(np.float64)
        answers.append(forward(trained.network, inputs).outputs[:, 0])
        truths.append(np.stack([tail[name].to_numpy() for name in names], axis=1))
    answer, truth = np.concatenate(answers), np.concatenate(truths)
    if kind == "regression":
        assert [channel.unit for channel in trained.outputs] == ["km/h", ""]
        errors = np.nanmean(np.abs(answer - truth), axis=0)
        assert np.isnan(truth).any()
        assert metrics["test_speed_mean_absolute_error_km_per_h"] == pytest.approx(
            errors[0], rel=1e-4
        )
        assert metrics["test_double_mean_absolute_error_units"] == pytest.approx(
            errors[1], rel=1e-4
        )
        assert errors[0] < 1.2  # of a spread of 3 km/h
        assert (folder / "residuals.png").read_bytes().startswith(b"\x89PNG")
    else:
        said = answer > 0.5
        hits = (said & (truth == 1)).sum()
        f1 = 200 * hits / (said.sum() + truth.sum())
        assert metrics["test_f1_percent"] == pytest.approx(f1)
        assert f1 > 60
