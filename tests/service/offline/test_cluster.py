"""Ray Data on this machine: the same bits as without it."""

import logging
import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import TableError
from service.offline.score import score

ray = pytest.importorskip("ray", reason="pip install '.[ray]'")
# Of Ray's own making.
pytestmark = pytest.mark.filterwarnings("ignore:::ray", "ignore::ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def two_workers():
    """A cluster of this machine, which goes with the tests."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # What Ray opens and leaves to the collector of garbage is its own affair.
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture
def table():
    random = np.random.default_rng(7)
    lengths = random.integers(1, 60, 90)
    values = random.normal(size=(int(lengths.sum()), 3))
    table = pa.table(
        {
            "device": np.repeat([f"d{number}" for number in range(90)], lengths),
            "second": np.concatenate([np.arange(length) for length in lengths]),
            **{f"feature_{i}": values[:, i] for i in range(3)},
        }
    )
    return table.take(random.permutation(len(table)))


def in_order(path):
    return parquet.read_table(path).sort_by([("device", "ascending"), ("second", "ascending")])


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_the_bits_of_the_local_engine(job, table, save):
    save(table.slice(0, 1000), "many/a.parquet")
    save(table.slice(1000), "many/b.parquet")
    states = job.output.with_name("states.parquet")
    job = replace(
        job,
        input=job.output.parent / "many",
        state_out=states,
        output=job.output.with_name("x.parquet"),
    )
    score(job)
    expected, ends = parquet.read_table(job.output), parquet.read_table(states)

    summary = score(replace(job, engine="ray", workers=2))

    assert in_order(job.output).equals(expected)
    assert parquet.read_table(states).sort_by("entity").equals(ends)
    assert (summary.tally.rows, summary.tally.entities) == (len(table), 90)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_bad_rows_are_what_they_are_anywhere(job, refusal, table, save):
    values = table["feature_1"].to_numpy().copy()
    values[700] = np.nan
    table = table.set_column(3, "feature_1", pa.array(values))
    save(table)

    with pytest.raises(TableError, match=r"steps.parquet: row 701, column 'feature_1', entity "):
        score(replace(job, engine="ray", workers=2))

    summary = score(replace(job, engine="ray", workers=2, on_error="quarantine"))
    assert parquet.read_table(job.rejected_path)["row"].to_pylist() == [701]
    assert summary.tally.rows == len(table) - 1
