"""The cutting of an input into tasks."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.offline.plan import Planner

lengths_of_entities = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def planned(lengths, window, chunk):
    planner = Planner(window)
    entities = np.repeat(np.arange(len(lengths)), lengths)
    order = np.concatenate([np.arange(length) for length in lengths])
    for start in range(0, len(entities), chunk):
        rows = slice(start, start + chunk)
        positions = np.arange(len(entities))[rows]
        planner.add(pa.array(entities[rows]), pa.array(order[rows]), positions)
    planner.end(len(entities))
    return planner


@given(lengths=lengths_of_entities, window=st.integers(1, 60), chunk=st.integers(1, 50))
def test_tasks_follow_each_other_and_share_no_entity(lengths, window, chunk):
    planner = planned(lengths, window, chunk)
    bounds = [0, *np.cumsum(lengths).tolist()]

    assert planner.is_sorted
    assert planner.entities == len(lengths)
    assert [planner.tasks[0].start] + [task.stop for task in planner.tasks] == [
        *(task.start for task in planner.tasks),
        bounds[-1],
    ]
    assert {task.stop for task in planner.tasks} <= set(bounds)
    for task in planner.tasks:
        entities = bounds.index(task.stop) - bounds.index(task.start)
        assert task.stop - task.start <= window or entities == 1


@given(lengths=lengths_of_entities, window=st.integers(1, 60), chunk=st.integers(1, 50))
def test_tasks_are_as_long_as_they_may_be(lengths, window, chunk):
    planner = planned(lengths, window, chunk)

    for one, other in zip(planner.tasks, planner.tasks[1:], strict=False):
        first = lengths[[0, *np.cumsum(lengths).tolist()].index(other.start)]
        assert other.start - one.start + first > window


@pytest.mark.parametrize(
    ("entities", "order"),
    [("aba", [1, 2, 3]), ("baa", [1, 2, 3]), ("aab", [2, 1, 3]), ("aab", [1, None, 3])],
)
@pytest.mark.parametrize("chunk", [1, 3])
def test_rows_that_stand_mixed_are_seen(entities, order, chunk):
    planner = Planner(10)
    for start in range(0, 3, chunk):
        rows = slice(start, start + chunk)
        keys = pa.array(list(entities[rows])), pa.array(order[rows], pa.int64())
        planner.add(*keys, np.arange(3)[rows])

    assert not planner.is_sorted
