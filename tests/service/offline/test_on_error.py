"""What becomes of rows that are no steps: nothing disappears without a word."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.offline.score import score

NAN = float("nan")


def rows_of(table):
    return list(zip(table["device"].to_pylist(), table["second"].to_pylist(), strict=True))


def told(summary):
    return " ".join(str(summary).split())


def channels_of(table):
    return np.stack([table[f"output_{i}"].to_numpy() for i in range(4)], axis=1)


# Steps of a, b, a, c, a, b, b, a at 0, 0, 1, 0, 2, 5, 7, 9.
SPOILT = {
    "a number that is missing": {"feature_1": [1, 2, 3, 4, None, 6, 7, 8]},
    "a number that is none": {"feature_1": [1, 2, 3, 4, NAN, 6, 7, 8]},
    "an order that is missing": {"second": [0, 0, 1, 0, None, 5, 7, 9]},
    "an order that is there twice": {"second": [0, 0, 1, 0, 1, 5, 7, 9]},
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("name", ["steps.parquet", "steps.csv"])
def test_quarantine_leaves_out_the_row_alone(job, classifier, steps, save, spoilt, name):
    table = steps(**spoilt)
    job = replace(job, input=save(table, name), on_error="quarantine")

    summary = score(job)

    scored, bad = parquet.read_table(job.output), parquet.read_table(job.rejected_path)
    good = table.take([0, 1, 2, 3, 5, 6, 7]).sort_by(
        [("device", "ascending"), ("second", "ascending")]
    )
    assert rows_of(scored) == rows_of(good)
    features = np.stack([good[f"feature_{i}"].to_numpy() for i in range(3)], axis=1)
    of_a = features[:3].astype(np.float32)
    assert channels_of(scored)[:3].tobytes() == classifier.alone(of_a).tobytes()
    ((column, _),) = spoilt.items()
    assert bad.select(["file", "row", "column"]).to_pylist() == [
        {"file": str(job.input), "row": 5, "column": column}
    ]
    assert bad["device"].to_pylist() == ["a"]
    assert bad["feature_0"].to_numpy() == table["feature_0"].to_numpy()[4].astype(np.float32)
    assert (summary.tally.rows, summary.rejected) == (7, 1)
    assert f"bad rows 1, in {job.rejected_path}" in told(summary)


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
def test_skip_entity_leaves_out_its_entity(job, steps, save, spoilt):
    save(steps(**spoilt))
    job = replace(job, on_error="skip-entity")

    summary = score(job)

    scored, bad = parquet.read_table(job.output), parquet.read_table(job.rejected_path)
    assert rows_of(scored) == [("b", 0), ("b", 5), ("b", 7), ("c", 0)]
    assert bad["row"].to_pylist() == [5]
    assert (summary.tally.skipped, summary.tally.left_out) == (1, 3)
    assert "left out 1 entities, with 3 rows that are good" in told(summary)


def test_fail_is_the_default_and_names_the_row(job, refusal, steps, save):
    save(steps(**SPOILT["an order that is there twice"]))

    assert refusal(job) == (
        "steps.parquet: row 5, column 'second', entity 'a': is 1 twice; keep one row of each"
    )


def test_rows_without_an_entity_go_to_quarantine(job, steps, save):
    save(steps(device=["a", None, "a", None, *"abba"]))

    summary = score(replace(job, on_error="quarantine"))

    bad = parquet.read_table(job.rejected_path)
    assert bad.select(["row", "column", "device"]).to_pylist() == [
        {"row": 2, "column": "device", "device": None},
        {"row": 4, "column": "device", "device": None},
    ]
    assert (summary.tally.rows, summary.rejected) == (6, 2)


@pytest.mark.parametrize("mixed", [False, True])
def test_lines_that_are_no_rows_go_to_quarantine(job, steps, save, mixed):
    table = steps()
    table = table if mixed else table.sort_by([("device", "ascending"), ("second", "ascending")])
    lines = save(table, "steps.csv").read_text().splitlines()
    lines[3:3] = ["a,4"]
    lines[7:7] = ["a,4,1,2,3,4,5"]
    # The row behind both, which is row 9.
    lines[9] = lines[9].rpartition(",")[0] + ",warm"
    job = replace(job, input=save("\n".join(lines), "steps.csv"), on_error="quarantine")

    summary = score(job)

    bad = parquet.read_table(job.rejected_path)
    assert bad.select(["row", "problem"]).to_pylist()[:2] == [
        {"row": 3, "problem": "has 2 cells, the header has 5; mend the line, or leave it out"},
        {"row": 7, "problem": "has 7 cells, the header has 5; mend the line, or leave it out"},
    ]
    assert bad["row"].to_pylist() == [3, 7, 9]
    assert bad["problem"][2].as_py().startswith("is 'warm'; give a finite float32 number")
    assert (summary.tally.rows, summary.rejected) == (7, 3)


def test_a_row_without_an_entity_cannot_be_skipped(job, refusal, steps, save):
    save(steps(device=["a", None, *"acabba"][:8]))

    assert refusal(replace(job, on_error="skip-entity")) == (
        "steps.parquet: row 2, column 'device', entity None: is missing; fill it in, or leave the "
        "row out; nobody knows whose it is: mend it, or take --on-error quarantine"
    )


@pytest.mark.parametrize("on_error", ["skip-entity", "quarantine"])
def test_without_bad_rows_the_file_of_them_is_empty(job, steps, save, on_error):
    save(steps())
    job.rejected_path.write_bytes(b"of yesterday")

    summary = score(replace(job, on_error=on_error))

    assert parquet.read_metadata(job.rejected_path).num_rows == 0
    assert (summary.tally.rows, summary.rejected) == (8, 0)


def test_nothing_but_bad_rows(job, steps, save):
    save(steps(feature_2=[NAN] * 8))

    summary = score(replace(job, on_error="quarantine"))

    assert parquet.read_metadata(job.output).num_rows == 0
    assert (summary.tally.rows, summary.tally.entities, summary.rejected) == (0, 0, 8)


@pytest.mark.parametrize("on_error", ["skip-entity", "quarantine"])
def test_a_bad_row_late_in_an_entity_that_is_longer_than_a_window(job, save, monkeypatch, on_error):
    from service.offline import preparation

    monkeypatch.setattr(preparation, "window_rows", lambda job, model: 20_000)
    rows = 70_000
    values = np.random.default_rng(1).normal(size=(rows + 2, 3))
    values[60_000, 1] = np.nan
    table = pa.table(
        {
            "device": ["a", *["b"] * rows, "c"],
            "second": np.arange(rows + 2),
            **{f"feature_{i}": values[:, i] for i in range(3)},
        }
    )
    save(table)

    summary = score(replace(job, on_error=on_error))

    scored = parquet.read_table(job.output)
    assert parquet.read_table(job.rejected_path)["row"].to_pylist() == [60_001]
    if on_error == "quarantine":
        assert len(scored) == rows + 1
        assert summary.tally.entities == 3
    else:
        assert rows_of(scored) == [("a", 0), ("c", rows + 1)]
        assert (summary.tally.skipped, summary.tally.left_out) == (1, rows - 1)
