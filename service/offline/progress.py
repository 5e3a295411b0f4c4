"""How far a score is, for whoever watches.

Owns the choice between a bar, in a terminal, and plain lines elsewhere.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 5.0
Report = Callable[[int], object]


@contextlib.contextmanager
def progress(
    total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Report]:
    """Shows the steps that it is told of.

    Args:
        total: how many there will be.
        stream: where it is shown.
        clock: seconds, for the plain lines.

    Yields:
        A function to call with the steps taken since the last call.
    """
    if stream.isatty():
        bar = tqdm(
            total=total, desc="score", unit="step", unit_scale=True, file=stream, dynamic_ncols=True
        )
        with bar:
            yield bar.update
    else:
        yield _Lines(total, stream, clock).add


class _Lines:
    """A line every few seconds."""

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float]) -> None:
        self._total = total
        self._done = 0
        self._stream = stream
        self._clock = clock
        self._started = self._told = clock()

    def add(self, steps: int) -> None:
        self._done += steps
        now = self._clock()
        if now - self._told < _SECONDS_BETWEEN_LINES:
            return
        self._told = now
        rate = self._done / (now - self._started)
        left = (self._total - self._done) / rate
        print(
            f"scored {self._done:,} of {self._total:,} steps, {rate:,.0f} steps/s, "
            f"{left:.0f} s left",
            file=self._stream,
            flush=True,
        )
