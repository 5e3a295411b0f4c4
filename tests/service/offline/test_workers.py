"""Several processes: the same files, the same refusals, and none is left."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from service.errors import TableError, WorkerFailed
from service.offline import workers
from service.offline.score import score

TASKS = list(range(7))


def doubled(offset):
    """Stands for an engine: a task's entities are its number doubled."""

    def work(number, report):
        report(number)
        return 2 * number + offset

    return work


def failing(_offset):
    def work(number, report):
        if number == 3:
            raise TableError("steps.csv: task 3 is wrong", reason="WRONG")
        return 1

    return work


def dying(path):
    def work(number, report):
        if number == 3:
            Path(path).write_text(str(os.getppid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return 1

    return work


def test_every_task_is_done_once():
    told = []

    def report(rows, entities):
        told.append((rows, entities))

    done = workers.run(doubled, (5,), TASKS, 2, report)

    assert sorted(done) == TASKS
    assert sum(rows for rows, _ in told) == sum(TASKS)
    assert sum(entities for _, entities in told) == sum(2 * task + 5 for task in TASKS)


def test_what_a_task_raises_is_raised():
    with pytest.raises(TableError, match=r"steps.csv: task 3 is wrong") as caught:
        list(workers.run(failing, (0,), TASKS, 2, lambda rows, entities: None))

    assert caught.value.reason == "WRONG"


def test_a_process_that_is_killed_is_told_of(tmp_path):
    with pytest.raises(WorkerFailed, match="go on with --resume"):
        list(workers.run(dying, (tmp_path / "x",), TASKS, 2, lambda rows, entities: None))

    assert (tmp_path / "x").read_text() == str(os.getpid())
    while children():
        time.sleep(0.001)


def children():
    """Processes of ours that are still there, the resource tracker aside."""
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    found = [Path(f"/proc/{pid}/cmdline") for pid in task.read_text().split()]
    return [path for path in found if path.exists() and b"spawn_main" in path.read_bytes()]


@pytest.fixture
def table():
    random = np.random.default_rng(7)
    lengths = random.integers(1, 900, 200)
    values = random.normal(size=(int(lengths.sum()), 3))
    return pa.table(
        {
            "device": np.repeat(np.arange(200), lengths),
            "second": np.concatenate([np.arange(length) for length in lengths]),
            **{f"feature_{i}": values[:, i] for i in range(3)},
        }
    )


@pytest.mark.parametrize("name", ["steps.parquet", "steps.csv", "steps.arrow"])
@pytest.mark.parametrize("mixed", [False, True])
def test_workers_write_the_same_file(job, table, save, name, mixed, monkeypatch):
    if mixed:
        table = table.take(np.random.default_rng(8).permutation(len(table)))
    job = replace(job, input=save(table, name))
    # A window of a worker, so that parts and with them row groups are the same.
    from service.offline import preparation

    monkeypatch.setattr(preparation, "window_rows", lambda job, model: 20_000)
    monkeypatch.setattr(preparation, "even", lambda rows, window, tasks: window)
    score(job)
    alone = job.output.read_bytes()

    summary = score(replace(job, workers=2))

    assert job.output.read_bytes() == alone
    assert summary.tally.entities == 200


def test_a_bad_row_in_a_worker_is_refused_as_anywhere(job, refusal, table, save, monkeypatch):
    from service.offline import preparation

    monkeypatch.setattr(preparation, "window_rows", lambda job, model: 10_000)
    values = table["feature_1"].to_numpy().copy()
    values[60_000] = np.nan
    save(table.set_column(3, "feature_1", pa.array(values)))

    assert refusal(replace(job, workers=2)).startswith(
        "steps.parquet: row 60001, column 'feature_1', entity "
    )
