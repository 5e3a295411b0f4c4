"""How far a score is, for whoever watches.

Owns the choice between a bar, in a terminal, and plain lines elsewhere.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Never, Protocol, TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 5.0


class Report(Protocol):
    """Is told of rows and entities that are done since it was last told."""

    def __call__(self, rows: int, entities: int = 0) -> object:
        """Shows them."""


@contextlib.contextmanager
def progress(
    name: str,
    total: int | None,
    stream: TextIO,
    *,
    done: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Report]:
    """Shows the rows that it is told of.

    Args:
        name: of what is done.
        total: how many rows there will be; None where nobody knows.
        stream: where it is shown.
        done: how many of them are done already, by a run before this one.
        clock: seconds, for the plain lines.

    Yields:
        A function to call with the rows and entities done since the last call.
    """
    if stream.isatty():
        bar: tqdm[Never] = tqdm(
            desc=name,
            total=total,
            initial=done,
            unit="row",
            unit_scale=True,
            file=stream,
            dynamic_ncols=True,
        )
        with bar:
            yield _Bar(bar).add
    else:
        yield _Lines(name, total, stream, done, clock).add


class _Bar:
    """A bar, with entities behind it."""

    def __init__(self, bar: "tqdm[Never]") -> None:
        self._bar = bar
        self._entities = 0

    def add(self, rows: int, entities: int = 0) -> None:
        self._entities += entities
        if entities:
            self._bar.set_postfix_str(f"{self._entities:,} entities", refresh=False)
        self._bar.update(rows)


class _Lines:
    """A line every few seconds."""

    def __init__(
        self,
        name: str,
        total: int | None,
        stream: TextIO,
        done: int,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._total = total
        self._begun = self._done = done
        self._entities = 0
        self._stream = stream
        self._clock = clock
        self._started = self._told = clock()

    def add(self, rows: int, entities: int = 0) -> None:
        self._done += rows
        self._entities += entities
        now = self._clock()
        if now - self._told < _SECONDS_BETWEEN_LINES:
            return
        self._told = now
        rate = max(1, self._done - self._begun) / (now - self._started)
        of, left = "", ""
        if self._total is not None:
            of = f" of {self._total:,}"
            left = f", {(self._total - self._done) / rate:.0f} s left"
        entities_done = f", {self._entities:,} entities" if self._entities else ""
        print(
            f"{self._name}: {self._done:,}{of} rows{entities_done}, {rate:,.0f} rows/s{left}",
            file=self._stream,
            flush=True,
        )
