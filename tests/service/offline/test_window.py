"""Order values that are there twice."""

import numpy as np
import pyarrow as pa


def test_an_order_that_stands_still(job, refusal, steps, save):
    save(steps(second=[0, 5, 1, 0, 1, 6, 7, 9]))

    assert refusal(job) == (
        "steps.parquet: row 5, column 'second', entity 'a': is 1 twice; keep one row of each"
    )


def test_times_are_shown_as_times(job, refusal, steps, save):
    times = np.datetime64("2026-11-23", "ns") + np.array([1, 2, 3, 4, 1, 5, 6, 7])
    save(steps(second=pa.array(times, pa.timestamp("ns", "Europe/Berlin"))))

    assert "row 5, column 'second', entity 'a': is 2026-11-23 00:00:00.000000001 twice" in (
        refusal(job)
    )
