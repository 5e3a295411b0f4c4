"""The sharing out of memory, and jobs that have too little."""

from dataclasses import replace

import pyarrow as pa
import pytest

from service.errors import SettingsError
from service.offline import budget
from service.offline.budget import even
from service.offline.plan import Planner
from service.offline.score import score


def test_too_many_workers_are_refused_before_anything_is_read(job):
    with pytest.raises(SettingsError, match=r"memory is 400, .* 16 workers .* --memory 1\d{3} or"):
        score(replace(job, workers=16))


def test_mixed_rows_that_are_too_wide_are_refused_before_they_are_sorted(
    job, monkeypatch, refusal, save, steps
):
    monkeypatch.setattr(budget, "_SORT", 150.0)
    save(steps())

    assert refusal(replace(job, memory=200)) == (
        "steps.parquet: its rows stand mixed, and sorting rows of 3 features takes more memory "
        "than 200; give --memory 217 or more, or sort the input by entity and order"
    )


@pytest.mark.parametrize(("rows", "window", "tasks"), [(1_000_000, 150_000, 1), (90, 1_000, 4)])
def test_tasks_are_alike(rows, window, tasks):
    found = even(rows, window, tasks)
    planner = Planner(found)
    entities = pa.array(range(rows))
    planner.add(entities, entities, entities.to_numpy())
    planner.end(rows)
    sizes = [task.stop - task.start for task in planner.tasks]

    assert found <= window
    assert len(sizes) >= tasks
    assert min(sizes) > 0.8 * max(sizes)
