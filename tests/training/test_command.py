import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from training.__main__ import main
from training.checkpoint import load_trained
from training.reference import forward


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_fit_then_tails_scored_by_the_reference(small_config, tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "run", tmp_path / "tails.parquet"
    assert run("fit", "--config", small_config, "--out", folder, "--seed", 7) == 0
    printed = capsys.readouterr()
    assert "test steps right" in printed.out
    assert printed.err.count("epoch") == 4
    assert "seed = 7" in (folder / "config.toml").read_text()

    assert run("data", "tails", "--run", folder, "--out", tmp_path / "tails.csv") == 2
    assert "let its name end in .parquet" in capsys.readouterr().err
    assert run("data", "tails", "--run", folder, "--out", out) == 0
    table = pa.parquet.read_table(out)
    assert table.column_names == ["who", "when", "slope", "level", "kind"]
    assert table.schema.field("slope").type == pa.float32()
    trained = load_trained(folder)
    right = total = 0
    for who in np.unique(table["who"].to_numpy()):
        tail = table.filter(pa.compute.equal(table["who"], who))
        assert np.all(np.diff(tail["when"].to_numpy()) > 0)
        columns = [tail[channel.name].to_numpy() for channel in trained.features]
        inputs = np.stack(columns, axis=1)[:, None].astype(np.float64)
        answers = forward(trained.network, inputs).outputs[:, 0].argmax(axis=1)
        labels = [trained.outputs[answer].name for answer in answers]
        right += int(np.sum(np.array(labels) == tail["kind"].to_numpy()))
        total += len(labels)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 100 * right / total == pytest.approx(metrics["test_accuracy_percent"])


def test_tails_of_changed_data_are_refused(small_config, waves, tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "run", tmp_path / "tails.parquet"
    assert run("fit", "--config", small_config, "--out", folder) == 0
    table = pa.parquet.read_table(waves)
    pa.parquet.write_table(table.slice(0, table.num_rows - 1), waves)
    assert run("data", "tails", "--run", folder, "--out", out) == 2
    assert "the run was fitted on sha256:" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "--config", "none.toml", "--out", "r"), "config none.toml can't be read"),
        (("fit", "--config", "{bad}", "--out", "r"), "training.lane is not a setting; did you"),
        (("fit", "--config", "{foreign}", "--out", "r"), "there is no column 'who'"),
        (
            ("fit", "--config", "{small}", "--out", "r", "--threads", "0"),
            "--threads 0 must be from",
        ),
        (("fit", "--config", "{small}", "--out", "r", "--seed", "-1"), "seed = -1 must be from 0"),
        (("fit", "--config", "{small}", "--out", "{bad}"), "is a file; name a folder"),
        (("data", "tails", "--run", "none", "--out", "t.parquet"), "there is no checkpoint"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments, message: str, small_config: Path, waves: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    bad, foreign = tmp_path / "bad.toml", tmp_path / "foreign.toml"
    bad.write_text(small_config.read_text().replace("lanes", "lane"))
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    foreign.write_text(small_config.read_text().replace(waves.name, "foreign.parquet"))
    names = {"bad": bad, "foreign": foreign, "small": small_config}
    assert run(*(argument.format(**names) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("command", [(), ("fit",), ("data",), ("data", "watch"), ("data", "tails")])
def test_help(command: tuple[str, ...], capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(*command, "--help")
    assert "usage: python -m training" in capsys.readouterr().out
