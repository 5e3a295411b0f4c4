"""Memory of a score, measured by its own process, of a table that is ten times larger."""

import pytest

from benchmarks.scoring import memory
from export.artifact import seal, write_file
from export.exporter import make_artifact
from export.forms import STEP
from export.proof import ProofSettings
from export.random_model import random_model, random_network

QUICK = ProofSettings(
    reference_steps=20, reference_batches=(2,), company_batches=(2, 5), chunked_steps=7
)
# Many features make few rows large; what is scored hardly computes.
FEATURES, MEGABYTES, ALLOWED = 128, 2_000, 200


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    made, _ = make_artifact(random_model(random_network(FEATURES, 4, 1, 2), "wide"), STEP, QUICK)
    path = tmp_path_factory.mktemp("models") / "wide" / "1" / "model.onnx"
    write_file(path, seal(made))
    return path


# Sorting takes most of it.
@pytest.mark.timeout(400)
@pytest.mark.parametrize("company", ["sorted", "mixed"])
def test_a_score_takes_no_more_memory_than_it_may(wide, tmp_path, company):
    table, output = tmp_path / "steps.parquet", tmp_path / "answers.parquet"
    rows = memory.make(table, MEGABYTES, FEATURES, company)

    measured = memory.measure(wide, table, output, ALLOWED)

    assert measured.rows == rows
    assert measured.megabytes <= ALLOWED
