import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.checkpoint import load_checkpoint, load_trained
from training.config import Config
from training.config_file import read_config
from training.errors import RunError
from training.fit import fit
from training.run_folder import RunFolder


@pytest.fixture
def config(small_config: Path) -> Config:
    return read_config(small_config)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder.last).weights


def test_a_run_learns_and_leaves_everything(config: Config, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    metrics = fit(config, folder)

    assert metrics["test_accuracy_percent"] > 85
    # 30% of 40, 47, 54, 61, 68 and 75 steps
    assert metrics["test_length_steps"] == 12 + 14 + 16 + 18 + 20 + 22
    assert json.loads(folder.metrics.read_text()) == metrics
    assert load_checkpoint(folder.best).metrics == metrics
    assert read_config(folder.config) == config
    lines = [json.loads(line) for line in folder.log.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    best = min(line["validation_loss_nats_per_step"] for line in lines)
    assert metrics["validation_loss_nats_per_step"] == best
    assert all(0 < line["padding_percent"] < 50 for line in lines)
    events = EventAccumulator(str(folder.events)).Reload()
    for name, value in lines[2].items():
        assert events.Scalars(name)[2].step == 3
        assert events.Scalars(name)[2].value == pytest.approx(value)
    assert len(events.Scalars("epoch")) == 4
    for picture in (folder.loss_picture, folder.confusion_picture):
        assert picture.read_bytes().startswith(b"\x89PNG")

    trained = load_trained(folder.path)
    assert trained.name == "slopes"
    assert [(channel.name, channel.unit) for channel in trained.features] == [
        ("slope", "m/s"),
        ("level", "m"),
    ]
    assert [channel.name for channel in trained.outputs] == ["down", "up"]
    assert trained.steps_per_second == 2.5
    assert trained.network.activation == "softmax"
    assert trained.network.hidden == 6
    assert trained.data_digest.startswith("sha256:")
    assert trained.versions["torch"].startswith("2.")


def test_a_seed_decides_every_bit(config: Config, tmp_path: Path) -> None:
    runs = [RunFolder(tmp_path / name) for name in ("first", "again", "other")]
    for folder, seed in zip(runs, (5, 5, 6), strict=True):
        fit(replace(config, seed=seed), folder)
    first, again, other = (weights(folder) for folder in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_it_stops_when_validation_stops_falling(config: Config, tmp_path: Path) -> None:
    # A learning rate so high that nothing is learnt after the first epochs.
    training = replace(config.training, epochs=30, patience_epochs=2, learning_rate=3.0)
    folder = RunFolder(tmp_path / "run")
    fit(replace(config, training=training), folder)
    losses = [
        json.loads(line)["validation_loss_nats_per_step"]
        for line in folder.log.read_text().splitlines()
    ]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 3
    for file, kept in ((folder.best, min(losses)), (folder.last, losses[-1])):
        assert load_checkpoint(file).metrics["validation_loss_nats_per_step"] == kept


def test_a_finished_run_is_not_replaced_unasked(config: Config, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    fit(config, folder)
    before = folder.best.read_bytes()
    (folder.path / "model.onnx").write_text("not ours")
    with pytest.raises(RunError, match=r"holds a finished run.*--force"):
        fit(config, folder)
    assert folder.best.read_bytes() == before
    fit(replace(config, seed=9), folder, force=True)
    assert folder.best.read_bytes() != before
    assert (folder.path / "model.onnx").read_text() == "not ours"


def test_the_test_part_has_no_say_in_the_weights(config: Config, tmp_path: Path, waves) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    folder = RunFolder(tmp_path / "run")
    fit(config, folder)
    table = pa.parquet.read_table(waves)
    rows = table.to_pylist()
    last = {row["who"]: row["when"] for row in rows}
    for row in rows:
        if row["when"] > last[row["who"]] * 0.8:
            row["slope"], row["level"] = 1e3, -1e3
    pa.parquet.write_table(pa.Table.from_pylist(rows), waves)
    changed = RunFolder(tmp_path / "changed")
    fit(config, changed)
    before, after = weights(folder), weights(changed)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_file_is_no_folder_for_a_run(config: Config, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match=r"run is a file; name a folder"):
        fit(config, RunFolder(tmp_path / "run"))
    assert (tmp_path / "run").read_text() == "mine"


def test_the_last_weights_are_kept_where_that_is_configured(
    small_config: Path, tmp_path: Path
) -> None:
    config = read_config(small_config)
    # At so high a rate, the last epoch is not the best.
    settings = replace(config.training, learning_rate=0.5, epochs=6, patience_epochs=1)
    kept = {}
    for keep in ("best", "last"):
        folder = RunFolder(tmp_path / keep)
        fit(replace(config, training=replace(settings, keep=keep)), folder)
        lines = map(json.loads, folder.log.read_text().splitlines())
        losses = [line["validation_loss_nats_per_step"] for line in lines]
        kept[keep] = losses
        metrics = json.loads(folder.metrics.read_text())
        wanted = losses[-1] if keep == "last" else min(losses)
        assert metrics["validation_loss_nats_per_step"] == wanted
    # Waiting for a better epoch has no meaning where none is looked for.
    assert len(kept["last"]) == 6
    assert kept["last"][-1] > min(kept["last"])
    assert len(kept["best"]) < 6
