"""`statewise score` against a real server: the bits of batch scoring on the model's file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from processes import serving
from pyarrow import csv, parquet

from export.exporter import export_model
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from service.offline.job import Job
from service.offline.score import score

ROOT = Path(__file__).resolve().parents[2]
QUICK = ProofSettings(
    reference_steps=20, reference_batches=(2,), company_batches=(2, 5), chunked_steps=7
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("repository") / "small" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    export_model(random_model(random_network(3, 8, 2, 4), "small"), path, settings=QUICK)
    return path


@pytest.fixture(scope="module")
def target(model):
    with serving(model) as server:
        yield server.target


@pytest.fixture
def table():
    random = np.random.default_rng(2)
    lengths = random.integers(1, 90, 30)
    values = random.normal(size=(int(lengths.sum()), 3)).astype(np.float32)
    return pa.table(
        {
            "device": np.repeat([f"d{number:02}" for number in range(30)], lengths),
            "second": np.concatenate([np.arange(length) for length in lengths]),
            **{f"feature_{i}": values[:, i] for i in range(3)},
        }
    )


def run(target, source, output, *others):
    command = [
        *(sys.executable, "-m", "statewise_client", "score", "--target", target),
        *("--model", "small", "--input", source, "--output", output),
        *("--entity", "device", "--order", "second", *others),
    ]
    return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_table_gets_the_bits_of_batch_scoring(target, model, table, tmp_path, kind):
    parquet.write_table(table, tmp_path / "steps.parquet")
    csv.write_csv(table, tmp_path / "steps.csv")
    expected = tmp_path / "expected.parquet"
    score(Job(model, tmp_path / "steps.parquet", expected, "device", "second"))

    source, output = tmp_path / f"steps.{kind}", tmp_path / f"answers.{kind}"
    done = run(target, source, output, "--streams", 7, "--chunk", 16)

    assert done.returncode == 0, done.stderr
    assert f"{len(table)} steps of 30 entities" in done.stderr.replace(",", "")
    answers = parquet.read_table(output) if kind == "parquet" else csv.read_csv(output)
    assert answers.cast(parquet.read_schema(expected)).equals(parquet.read_table(expected))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.take([*range(5), len(t) - 1, *range(5, len(t) - 1)]), "again after others"),
        (lambda t: t.set_column(1, "second", pa.array([0] * len(t))), "'second' is 0"),
        (lambda t: t.drop_columns("feature_1"), "there is no column 'feature_1'"),
        (lambda t: t.rename_columns({"second": "output_1"}), "no column 'second'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(target, table, tmp_path, change, told):
    parquet.write_table(change(table), tmp_path / "steps.parquet")
    (tmp_path / "answers.csv").write_text("before")

    done = run(target, tmp_path / "steps.parquet", tmp_path / "answers.csv")

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert (tmp_path / "answers.csv").read_text() == "before"
    assert not list(tmp_path.glob(".*"))


def test_a_server_that_is_not_there(table, tmp_path):
    parquet.write_table(table, tmp_path / "steps.parquet")

    done = run("127.0.0.1:1", tmp_path / "steps.parquet", tmp_path / "answers.csv")

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize("name", ["answers.txt", "answers.npy"])
def test_an_output_of_no_kind(table, tmp_path, name):
    parquet.write_table(table, tmp_path / "steps.parquet")

    done = run("127.0.0.1:1", tmp_path / "steps.parquet", tmp_path / name)

    assert done.returncode == 2
    assert "ends in .csv or .parquet" in done.stderr
