"""The command, as a person runs it: what it prints, stores and draws, and when it fits anew."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from training.__main__ import main
from training.inspection import inspect
from training.inspection.comparison import Comparison


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def fitted(small_config: Path, tmp_path: Path, capsys) -> Path:
    folder = tmp_path / "run"
    assert run("fit", "--config", small_config, "--out", folder) == 0
    capsys.readouterr()
    return folder


def test_a_run_is_inspected_and_its_peers_are_fitted_once(fitted: Path, capsys) -> None:
    assert run("inspect", fitted, "--epochs", 2) == 0
    printed = capsys.readouterr()
    assert printed.out.count("passed") == 8
    assert "LSTM: an error's median goes x" in printed.out
    assert printed.err.count("tanh RNN: epoch") == printed.err.count("LSTM: epoch") == 2

    stored = json.loads((fitted / "inspection/inspection.json").read_text())
    networks = stored["gradient"]["networks"]
    assert [one["name"] for one in networks] == ["GRU", "tanh RNN", "LSTM"]
    assert [one["epochs"] for one in networks] == [4, 2, 2]
    # Test parts of 12 to 22 steps: half of them hold 16
    assert {len(one["quartiles_by_lag"][1]) for one in networks} == {17}
    assert {one["passed"] for one in stored["jacobians"]} == {True}

    assert run("inspect", fitted, "--epochs", 2) == 0
    assert "epoch" not in capsys.readouterr().err
    assert json.loads((fitted / "inspection/inspection.json").read_text()) == stored
    assert run("inspect", fitted, "--epochs", 1) == 0
    assert capsys.readouterr().err.count("epoch") == 2


def test_a_comparison_that_fails_is_no_mistake_of_the_user(
    fitted: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = inspect.check_jacobians

    def fail(*arguments: Any) -> tuple[Comparison, ...]:
        first, *others = found(*arguments)
        return (replace(first, passed=False), *others)

    monkeypatch.setattr(inspect, "check_jacobians", fail)
    assert run("inspect", fitted, "--epochs", 1) == 1
    printed = capsys.readouterr()
    assert "1 of 8 comparisons failed, first layer 1" in printed.err
    assert "FAILED" in printed.out
    assert (fitted / "report.html").exists()


def test_a_damaged_peer_is_fitted_again(fitted: Path, capsys) -> None:
    assert run("inspect", fitted, "--epochs", 1) == 0
    (fitted / "inspection/lstm.pt").write_bytes(b"half")
    capsys.readouterr()
    assert run("inspect", fitted, "--epochs", 1) == 0
    printed = capsys.readouterr().err
    assert printed.count("LSTM: epoch") == 1
    assert "tanh RNN: epoch" not in printed


def test_the_page_needs_no_other_file(fitted: Path) -> None:
    assert run("inspect", fitted, "--epochs", 1) == 0
    page = (fitted / "report.html").read_text()

    addresses = re.findall(r'(?:src|href)="([^"]{5})', page)
    assert addresses == ["data:"] * 4
    assert "schedule laid over 1 epochs instead of 4" in page
    assert "Not exported yet" in page
    assert page.count("passed") == 8


def test_the_exports_comparisons_are_shown(fitted: Path) -> None:
    comparison = {
        "check": "<weights>",
        "compared": "all",
        "values": 1234,
        "worst_error": 0.5,
        "tolerance": 0.1,
        "where": "row 1",
        "passed": False,
    }
    form = {"path": "m.onnx", "digest": "sha256:ab", "comparisons": [comparison]}
    (fitted / "validation.json").write_text(json.dumps({"forms": [form]}))
    assert run("inspect", fitted, "--epochs", 1) == 0
    page = (fitted / "report.html").read_text()
    assert "&lt;weights&gt;" in page
    assert "1,234" in page
    assert page.count("FAILED") == 1

    (fitted / "validation.json").write_text("{")
    assert run("inspect", fitted, "--epochs", 1) == 0
    assert "validation.json can&#x27;t be read" in (fitted / "report.html").read_text()


def test_labels_and_foreign_names(waves: Path, small_config: Path, tmp_path: Path) -> None:
    table = pa.parquet.read_table(waves)
    slope = table["slope"].to_numpy()
    table = table.append_column(r"a $\bad$", pa.array((slope > 0).astype(int)))
    table = table.append_column("<b>&", pa.array((np.abs(slope) > 1).astype(int)))
    pa.parquet.write_table(table, waves)
    config = small_config.read_text().replace(
        'target = "kind"', 'target = ["a $\\\\bad$", "<b>&"], kind = "labels"'
    )
    small_config.write_text(config.replace("epochs = 4", "epochs = 1"))
    folder = tmp_path / "run"
    assert run("fit", "--config", small_config, "--out", folder) == 0
    assert run("inspect", folder) == 0

    page = (folder / "report.html").read_text()
    assert "Each label on the test part" in page
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lags", "0"), "--lags 0 must be from 1"),
        (("--epochs", "0"), "--epochs 0 must be from 1"),
        (("--threads", "0"), "--threads 0 must be from 1"),
        ((), "holds no finished run"),
    ],
)
def test_a_mistake_is_one_line(options, message: str, tmp_path: Path, capsys) -> None:
    assert run("inspect", tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_new_fit_removes_the_old_ones_page(fitted: Path, small_config: Path) -> None:
    for name in ("report.html", "validation.json", "validation.png"):
        (fitted / name).write_text("old")
    assert run("fit", "--config", small_config, "--out", fitted, "--force") == 0
    left = {path.name for path in fitted.iterdir()}
    assert not left & {"report.html", "validation.json", "validation.png"}
