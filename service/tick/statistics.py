"""What one version of a model has done since it was loaded: how often, how long, in which batches.

Owns the sums that the Open Inference Protocol reports; the metrics for Prometheus are elsewhere.
Counted once a tick. Knows nothing of what is counted.
"""

import time
from dataclasses import dataclass, field


@dataclass
class Durations:
    """Where the time of some calls went, in nanoseconds."""

    count: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def add(self, input_ns: int, infer_ns: int, output_ns: int, count: int = 1) -> None:
        """Counts calls that took so long."""
        self.count += count
        self.input_ns += input_ns
        self.infer_ns += infer_ns
        self.output_ns += output_ns


@dataclass
class Statistics:
    """The sums of one version.

    Attributes:
        failed: steps that came to nothing, and `failed_ns`, what they had waited. One whose answer
            was no number was computed as well, so that its time counts there.
        queue_ns: from a chunk's arrival to the tick that took it.
        by_rows: calls by the number of their rows.
        last_ms: time of the last call, in milliseconds since 1970.
    """

    failed: int = 0
    failed_ns: int = 0
    queue_ns: int = 0
    by_rows: dict[int, Durations] = field(default_factory=dict)
    last_ms: int = 0

    @property
    def steps(self) -> Durations:
        """That were computed, over all streams: each row of a call has waited for all of it."""
        found = Durations()
        for rows, one in self.by_rows.items():
            count = rows * one.count
            found.add(rows * one.input_ns, rows * one.infer_ns, rows * one.output_ns, count)
        return found

    @property
    def calls(self) -> int:
        """Of the engine."""
        return sum(one.count for one in self.by_rows.values())

    def tick(self, rows: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """Counts a call that answered all its rows."""
        self.queue_ns += queue_ns
        sums = self.by_rows.get(rows)
        if sums is None:
            sums = self.by_rows[rows] = Durations()
        sums.add(input_ns, infer_ns, output_ns)
        self.last_ms = time.time_ns() // 1_000_000
