"""From an input to a plan: a look at its keys, and rows sorted on disk where they stand mixed.

Owns how much memory goes to what. Knows nothing of models but their sizes.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from service.artifact import Artifact
from service.errors import SettingsError
from service.offline import rejected, sorting, survey
from service.offline.columns import Columns
from service.offline.inputs import Inputs
from service.offline.job import Job
from service.offline.plan import Planner
from service.offline.progress import progress
from service.offline.steps import Block
from service.offline.stream import DirectReader, Shape
from service.offline.survey import Survey
from service.offline.work import Plan, Work

_BYTES_OF_A_MEGABYTE = 1_000_000
# Of the memory: rows of a window, once as they come and once as they go; and what sorts.
_WINDOW_SHARE, _SORT_SHARE = 0.25, 0.4
# What sorts keeps a part of its memory for the rest of the process.
_WINDOW_AFTER_SORT = 0.5
# Of a row beside its numbers: keys, place, and what Arrow keeps of them.
_ROW_BYTES, _BLOB_BYTES = 80, 400
_FLOAT_BYTES = 4
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
    row = _ROW_BYTES + _FLOAT_BYTES * (len(model.features) + len(model.outputs))
    if job.state_in is not None or job.state_out is not None:
        signature = model.signature
        size = 0 if signature is None else signature.initial_row().nbytes
        row += 2 * size + _BLOB_BYTES
    share = _WINDOW_SHARE * job.memory * _BYTES_OF_A_MEGABYTE / job.workers
    return max(1, int(share / row))


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
    window = window_rows(job, model)
    if job.workers > 1 and inputs.rows is not None:
        fair = inputs.rows // (_TASKS_A_WORKER * job.workers)
        window = min(window, max(_LEAST_ROWS, fair))
    with progress("look", inputs.rows, sys.stderr) as report:
        found = survey.look(inputs, columns, job.on_error, window, report)
    planner, mixed = found.plan, not found.plan.is_sorted
    if job.engine == "ray":
        planner.tasks, mixed = list(cluster().buckets(found.rows, window, job.workers)), False
    elif mixed:
        window = max(1, int(_WINDOW_AFTER_SORT * window))
        planner = _sorted(folder, job, inputs, columns, found, window)
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


def _sorted(
    folder: Work, job: Job, inputs: Inputs, columns: Columns, found: Survey, window: int
) -> Planner:
    """Sorts the steps into the folder, and plans on what is there then."""
    shape = Shape(columns, found.entity_type, found.order_type, found.offsets)
    planner, position = Planner(window), 0
    megabytes = int(_SORT_SHARE * job.memory)
    # Each row comes by twice.
    with progress("sort", 2 * found.rows, sys.stderr) as report:
        blocks = _checked(DirectReader(inputs, shape), job, inputs, report)
        for block in sorting.sort(blocks, shape.form, folder.sorted_path, megabytes):
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
