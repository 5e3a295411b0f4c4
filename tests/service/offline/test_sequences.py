"""Order values that do not grow."""

import numpy as np
import pyarrow as pa


def test_an_order_that_falls(job, refusal, steps, save):
    save(steps(second=[0, 5, 1, 0, 2, 4, 3, 1]))

    assert refusal(job) == (
        "steps.parquet: row 6, column 'second', entity 'b': is 4 after 5; sort "
        "the file by device and second"
    )


def test_an_order_that_stands_still(job, refusal, steps, save):
    save(steps(second=[0, 5, 1, 0, 1, 6, 7, 9]))

    assert refusal(job) == (
        "steps.parquet: row 5, column 'second', entity 'a': is 1 twice; keep one row of each"
    )


def test_times_are_shown_as_times(job, refusal, steps, save):
    times = np.datetime64("2026-11-23", "ns") + np.array([1, 2, 3, 4, 2, 5, 6, 7])
    save(steps(second=pa.array(times, pa.timestamp("ns", "Europe/Berlin"))))

    assert "is 2026-11-23 00:00:00.000000002 after 2026-11-23 00:00:00.000000003" in refusal(job)
