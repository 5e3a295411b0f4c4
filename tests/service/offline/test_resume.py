"""Runs that are killed and gone on with."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import TableError
from service.offline import score as module
from service.offline.score import score

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("answers.parquet", "answers.rejected.parquet", "states.parquet")
# Windows of some rows, so that there are parts enough; killed when it has told of its progress so
# often, which it does in the middle of a part as well as behind it.
PROGRAM = """
import os, signal, sys
from contextlib import contextmanager
from service.offline import preparation, score
preparation.window_rows = lambda job, model: 500
left = int(sys.argv.pop(1))

@contextmanager
def progress(*given, **options):
    def report(rows, entities=0):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    yield report

preparation.progress = score.progress = progress
from service.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
NEVER = 0
# While it looks, while it sorts where it does, and then further and further.
KILLED = (1, 2, 11, 5, 25, 12)


@pytest.fixture
def table():
    random = np.random.default_rng(5)
    lengths = random.integers(1, 200, 120)
    entities = np.repeat([f"d{number:03}" for number in range(120)], lengths)
    second = np.concatenate([np.arange(length) for length in lengths])
    values = random.normal(size=(len(entities), 3))
    values[random.integers(0, len(entities), 9), 1] = np.nan
    return pa.table(
        {
            "device": entities,
            "second": second,
            **{f"feature_{i}": values[:, i] for i in range(3)},
        }
    )


def options(job, *others):
    return [
        "score",
        *("--model", job.model, "--input", job.input, "--output", job.output),
        *("--entity", job.entity, "--order", job.order, "--on-error", "quarantine"),
        *("--state-out", job.output.with_name("states.parquet"), *others),
    ]


def start(job, reports, *others):
    """A run that is killed when it has told of its progress so often; how it ended."""
    command = [sys.executable, "-c", PROGRAM, str(reports), *map(str, options(job, *others))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def files(job):
    return [(job.output.parent / name).read_bytes() for name in NAMES]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_killed_again_and_again(job, table, save, mixed, workers):
    random = np.random.default_rng(6 + workers)
    save(table.take(random.permutation(len(table))) if mixed else table)
    whole = start(job, NEVER, "--workers", workers)
    assert whole.returncode == 0, whole.stderr
    expected = files(job)
    for name in NAMES:
        (job.output.parent / name).unlink()
    job.output.write_bytes(b"before")

    parts, made = job.output.parent / ".answers.parquet.work" / "parts", []
    for reports in KILLED:
        killed = start(job, reports, "--resume", "--workers", workers)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert job.output.read_bytes() == b"before"
        made.append(sum(path.name.startswith("0") for path in parts.glob("*")))
    resumed = start(job, NEVER, "--resume", "--workers", workers)

    assert resumed.returncode == 0, resumed.stderr
    # Each run went on from what the one before had left.
    assert made == sorted(made)
    assert 0 < made[2] < made[-1]
    assert files(job) == expected
    assert sorted(path.name for path in job.output.parent.iterdir()) == sorted(
        [*NAMES, "steps.parquet"]
    )


class Interrupted(BaseException):
    """As a signal ends a run."""


@pytest.fixture
def interrupted(job, table, save, monkeypatch):
    """A run that was cut off after its second part."""
    from service.offline import preparation

    monkeypatch.setattr(preparation, "window_rows", lambda job, model: 700)
    save(table)
    job, begin = replace(job, on_error="quarantine"), module.start

    def cut_off(*given):
        work = begin(*given)

        def once(number, report):
            if number == 2:
                raise Interrupted
            return work(number, report)

        return once

    with monkeypatch.context() as patch:
        patch.setattr(module, "start", cut_off)
        with pytest.raises(Interrupted):
            score(job)
    return job


def test_parts_that_are_done_are_not_done_again(interrupted, monkeypatch):
    assert_goes_on(interrupted, monkeypatch)


def assert_goes_on(interrupted, monkeypatch):
    begin, done = module.start, []

    def counted(*given):
        work = begin(*given)

        def count(number, report):
            done.append(number)
            return work(number, report)

        return count

    monkeypatch.setattr(module, "start", counted)
    summary = score(replace(interrupted, resume=True))

    assert done[0] == 2
    assert (
        summary.tally.rows + summary.rejected == parquet.read_metadata(interrupted.input).num_rows
    )


def test_without_resume_a_run_begins_anew(interrupted, save, steps):
    save(steps())

    assert score(interrupted).tally.rows == 8


@pytest.mark.parametrize(
    ("change", "told"),
    [({"on_error": "fail"}, "--on-error"), ({"order": "feature_0"}, "columns")],
)
def test_another_run_does_not_go_on_with_it(interrupted, change, told, monkeypatch):
    with pytest.raises(TableError, match=f"had another {told}; run without --resume"):
        score(replace(interrupted, resume=True, **change))
    # A slip of the keyboard costs nothing of what was done.
    assert_goes_on(interrupted, monkeypatch)


def test_another_input_does_not_go_on_with_it(interrupted, save, steps):
    save(steps())

    with pytest.raises(TableError, match="had another input; run without --resume"):
        score(replace(interrupted, resume=True))


def test_two_runs_do_not_write_one_output(interrupted):
    from service.offline.work import held

    with held(interrupted.output), pytest.raises(TableError, match="another run writes it"):
        score(interrupted)


def test_nothing_to_resume_is_a_beginning(job, steps, save):
    save(steps())

    assert score(replace(job, resume=True)).tally.rows == 8
