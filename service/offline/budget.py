"""How a job's memory is shared out, and what is too little.

Owns what each part of a score takes beside the rows that it holds, as measured by
`python -m benchmarks scoring --parts memory`. Knows nothing of how parts work.
"""

import math
from dataclasses import dataclass

import pyarrow as pa

from service.artifacts.artifact import Artifact
from service.errors import SettingsError, TableError
from service.offline.job import Job
from service.offline.pieces import WIDTH, pieces
from service.offline.ranges import Sample

_MEGABYTE = 1_000_000
# A process beside its rows: the model, what reads and writes; of each feature a page that is read.
_PROCESS, _FEATURE = 95.0, 0.1
# What allocators keep beside what is held.
_HELD_SHARE = 0.9
# Of a row beside its numbers: keys, place, and what Arrow keeps of them.
_ROW_BYTES, _BLOB_BYTES = 80, 400
_FLOAT_BYTES = 4
_LEAST_WINDOW = 8.0
# What a process takes that sorts, beside what the sorting is told to take, not all of which it
# gives back.
_SORT, _SORT_FEATURE, _WINDOW_AFTER_SORT = 112.0, 0.16, 0.85
# And it takes more than it is told to.
_SORT_EXCESS, _LEAST_SORT = 1.1, 60
# Bytes of rows that are sorted at once, for each square of a megabyte: a merge holds a part of each
# run, and a run is as long as memory allows.
_SORTED_AT_ONCE = 80_000


@dataclass(frozen=True)
class Budget:
    """The memory of a job with a model."""

    job: Job
    model: Artifact

    @property
    def _beside(self) -> float:
        """Megabytes of one process beside its rows."""
        return _PROCESS + _FEATURE * len(self.model.features)

    @property
    def _processes(self) -> int:
        # The first does nothing but put parts together where others score.
        return self.job.workers + (1 if self.job.workers > 1 else 0)

    def check(self) -> None:
        """Refuses a job whose processes would take more without any rows.

        Raises:
            SettingsError: tells how much is needed.
        """
        least = self._processes * self._beside + self.job.workers * _LEAST_WINDOW
        if self.job.memory < least:
            raise SettingsError(
                f"memory is {self.job.memory}, too little for {self.job.workers} workers and "
                f"{len(self.model.features)} features; give --memory {math.ceil(least)} or more"
                f"{', or fewer --workers' if self.job.workers > 1 else ''}"
            )

    def window_rows(self) -> int:
        """Most rows of a window, in each of the workers."""
        job, model = self.job, self.model
        row = _ROW_BYTES + _FLOAT_BYTES * (len(model.features) + len(model.outputs))
        if job.on_error != "fail":
            # Good rows are copied out of those that have bad ones among them.
            row += _FLOAT_BYTES * len(model.features)
        if job.state_in is not None or job.state_out is not None:
            signature = model.signature
            size = 0 if signature is None else signature.initial_row().nbytes
            row += 2 * size + _BLOB_BYTES
        free = (job.memory - self._processes * self._beside) / job.workers
        return max(1, int(_HELD_SHARE * free * _MEGABYTE / row))

    def window_after_sort(self, window: int) -> int:
        """Most rows of a window in a process that has sorted."""
        return max(1, int(_WINDOW_AFTER_SORT * window))

    def sorting(self, rows: int, sample: Sample) -> tuple[int, pa.Array | None]:
        """Megabytes for what sorts, and where to part the rows; None where all are sorted at once.

        Raises:
            TableError: there is too little memory to sort such rows.
        """
        features = len(self.model.features)
        beside = _SORT + _SORT_FEATURE * features
        megabytes = int((self.job.memory - beside) / _SORT_EXCESS)
        if megabytes < _LEAST_SORT:
            least = math.ceil(beside + _SORT_EXCESS * _LEAST_SORT)
            raise TableError(
                f"{self.job.input}: its rows stand mixed, and sorting rows of {features} features "
                f"takes more memory than {self.job.memory}; give --memory {least} or more, or sort "
                "the input by entity and order"
            )
        whole = rows * pieces(features) * (_ROW_BYTES + _FLOAT_BYTES * WIDTH)
        ranges = math.ceil(whole / (_SORTED_AT_ONCE * megabytes**2))
        return megabytes, sample.bounds(ranges) if ranges > 1 else None


def even(rows: int, window: int, tasks: int) -> int:
    """The window that cuts rows into tasks alike, at least so many, none larger than a window.

    A short task at the end has as many ticks as a long one, and narrow ones.
    """
    # Tasks end with an entity: they are somewhat shorter than windows.
    slack = 1.02
    count = max(tasks, math.ceil(slack * rows / window))
    return min(window, math.ceil(slack * rows / count))
