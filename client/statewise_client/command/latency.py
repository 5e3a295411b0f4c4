"""How long a stream's answers took.

Owns the summary that is printed at the end.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class Latency:
    """Times of chunks, from sending to having the outputs."""

    def __init__(self) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()
        self._seconds: list[float] = []

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Takes the time of the block."""
        start = time.perf_counter()
        yield
        self._seconds.append(time.perf_counter() - start)

    @property
    def chunks(self) -> int:
        """How many have their outputs."""
        return len(self._seconds)

    def summary(self, steps: int) -> str:
        """One line for people.

        Args:
            steps: taken since the start, in at least one measured block.
        """
        seconds = time.perf_counter() - self._start
        median, slow = np.percentile(self._seconds, (50, 99)) * 1e3
        return (
            f"{steps} steps in {seconds:.2f} s: {steps / seconds:.0f} steps/s, "
            f"latency p50 {median:.2f} ms, p99 {slow:.2f} ms"
        )
