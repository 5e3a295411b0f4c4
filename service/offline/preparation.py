"""From an input to a plan: a look at its keys, and rows sorted on disk where they stand mixed.

Owns the order of these. Knows nothing of models but their sizes.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pyarrow as pa

from service.artifacts.artifact import Artifact
from service.errors import SettingsError
from service.offline import rejected, sorting, survey
from service.offline.budget import Budget, even
from service.offline.columns import Columns
from service.offline.inputs import Inputs
from service.offline.job import Job
from service.offline.plan import Planner
from service.offline.progress import progress
from service.offline.steps import Block
from service.offline.stream import DirectReader, Shape
from service.offline.work import Plan, Work

# Enough for full lanes; fewer rows than workers need to have tasks alike.
_LEAST_ROWS = 16_384
_TASKS_A_WORKER = 4


def cluster() -> ModuleType:
    """The module that needs Ray.

    Raises:
        SettingsError: Ray is not installed.
    """
    try:
        return importlib.import_module("service.offline.cluster")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"engine is ray, and {error.name} is not installed; install '.[service,ray]', or take "
            "--engine local"
        ) from None


def window_rows(job: Job, model: Artifact) -> int:
    """Most rows of a window, in each of the workers."""
    return Budget(job, model).window_rows()


def prepare(
    folder: Work,
    job: Job,
    inputs: Inputs,
    columns: Columns,
    model: Artifact,
    identity: dict[str, object],
) -> Plan:
    """Looks at an input, sorts it into the folder where that is needed, and plans.

    Raises:
        TableError: the input can't be scored.
    """
    budget, window = Budget(job, model), window_rows(job, model)
    if inputs.rows is not None:
        window = _even(job, inputs.rows, window)
    with progress("look", inputs.rows, sys.stderr) as report:
        found = survey.look(inputs, columns, job.on_error, window, report)
    planner, mixed = found.plan, not found.plan.is_sorted
    if job.engine == "ray":
        planner.tasks, mixed = list(cluster().buckets(found.rows, window, job.workers)), False
    elif mixed:
        window = _even(job, found.rows, budget.window_after_sort(window_rows(job, model)))
        shape = Shape(columns, found.entity_type, found.order_type, found.offsets)
        given = budget.sorting(found.rows, found.sample)
        planner = _sorted(folder, job, inputs, shape, given, window)
    return Plan(
        identity=identity,
        entity_type=found.entity_type,
        order_type=found.order_type,
        offsets=found.offsets,
        is_sorted=not mixed,
        rows=found.rows - len(found.homeless),
        entities=planner.entities,
        homeless=found.homeless,
        window=window,
        tasks=tuple(planner.tasks),
    )


def _even(job: Job, rows: int, window: int) -> int:
    """A window for tasks alike, and several of them for each of many workers."""
    if job.workers == 1:
        return even(rows, window, 1)
    return max(min(window, _LEAST_ROWS), even(rows, window, _TASKS_A_WORKER * job.workers))


def _sorted(
    folder: Work,
    job: Job,
    inputs: Inputs,
    shape: Shape,
    given: tuple[int, pa.Array | None],
    window: int,
) -> Planner:
    """Sorts the steps into the folder, and plans on what is there then."""
    planner, position = Planner(window), 0
    # Each row comes by twice.
    with progress("sort", 2 * shape.offsets[-1], sys.stderr) as report:
        blocks = _checked(DirectReader(inputs, shape), job, inputs, report)
        for block in sorting.sort(blocks, shape.form, folder.sorted_path, *given):
            positions = np.arange(position, position + len(block))
            planner.add(block.entities, block.order, positions)
            position += len(block)
            report(len(block))
    planner.end(position)
    return planner


def _checked(
    reader: DirectReader, job: Job, inputs: Inputs, report: Callable[[int], object]
) -> Iterator[Block]:
    """The steps as they stand; one with a fault ends it where the job is to fail."""
    files = [file.path for file in inputs.files]
    for _, block in reader.blocks(0):
        if job.on_error == "fail" and not block.good.all():
            raise rejected.error(block, int(np.argmin(block.good)), files)
        report(len(block))
        yield block
