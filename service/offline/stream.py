"""The steps of an input by their positions, from wherever they are read.

Owns one reader that goes forward: a task behind the last one is read on, any other is looked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.offline.columns import Columns
from service.offline.inputs import Inputs
from service.offline.separated import CsvSource
from service.offline.sorting import Form, SortedSteps
from service.offline.steps import Block, make_block
from service.offline.survey import listen

_Placed = tuple[NDArray[np.int64], Block]


class Reader(Protocol):
    """Steps in the order in which they are scored.

    Attributes:
        seeks: whether reading on from far ahead is cheaper than reading all between.
    """

    seeks: bool

    def blocks(self, start: int) -> Iterator[_Placed]:
        """Steps from about a position on, each with its position."""


@dataclass(frozen=True)
class Shape:
    """What tells how an input is read, found by looking at it once.

    Attributes:
        columns: by name.
        entity_type, order_type: of the keys.
        offsets: position of each file's first row, and of the end.
        sorted_path: the file of sorted steps; None where the input is in order as it is.
    """

    columns: Columns
    entity_type: pa.DataType
    order_type: pa.DataType
    offsets: tuple[int, ...]
    sorted_path: Path | None = None

    @property
    def form(self) -> Form:
        """How steps are kept on disk."""
        return Form(self.entity_type, self.order_type, len(self.columns.features))


class DirectReader:
    """The input's own files."""

    def __init__(self, inputs: Inputs, shape: Shape) -> None:
        """Hears of no lines that are no rows: whoever looked at the input has told of them."""
        self._inputs = inputs
        self._shape = shape
        self.seeks = not isinstance(inputs.files[0], CsvSource)
        listen(inputs, lambda _file, _line: None)

    def blocks(self, start: int) -> Iterator[_Placed]:
        """Steps from the batch on that holds the position."""
        offsets, columns = self._shape.offsets, self._shape.columns
        file = max(0, int(np.searchsorted(offsets[:-1], start, side="right")) - 1)
        for piece in self._inputs.pieces(columns.names, file, start - offsets[file]):
            block = make_block(piece.rows, columns, self._shape.order_type, piece.file, piece.first)
            yield offsets[piece.file] + block.numbers - 1, block


class SortedReader:
    """The sorted file."""

    seeks = True

    def __init__(self, path: Path, form: Form) -> None:
        """Names the file."""
        self._steps = SortedSteps(path, form)

    def blocks(self, start: int) -> Iterator[_Placed]:
        """Steps from the batch on that holds the position."""
        for first, block in self._steps.blocks(start):
            yield np.arange(first, first + len(block)), block


class HeldReader:
    """Steps that are in memory."""

    seeks = True

    def __init__(self, block: Block) -> None:
        """Takes the steps, in the order in which they are scored."""
        self._block = block
        self._positions = np.arange(len(block))

    def blocks(self, start: int) -> Iterator[_Placed]:
        """All of them."""
        del start
        yield self._positions, self._block


class Stream:
    """Steps by position, read forward."""

    def __init__(self, reader: Reader) -> None:
        """Opens nothing before something is taken."""
        self._reader = reader
        self._rest: Iterator[_Placed] | None = None
        self._held: _Placed | None = None
        self._at = 0

    def take(self, start: int, stop: int) -> Iterator[Block]:
        """The steps from one position to another."""
        far = self._reader.seeks and start != self._at
        if self._rest is None or start < self._at or far:
            self._rest, self._held = self._reader.blocks(start), None
        while (placed := self._held or next(self._rest, None)) is not None:
            positions, block = placed
            low, high = np.searchsorted(positions, (start, stop)).tolist()
            held = high < len(positions)
            self._held = (positions[high:], block.slice(high, len(block))) if held else None
            self._at = stop
            if high > low:
                yield block.slice(low, high)
            if held:
                return


def open_stream(inputs: Inputs, shape: Shape) -> Stream:
    """The steps of what a look at an input found."""
    if shape.sorted_path is not None:
        return Stream(SortedReader(shape.sorted_path, shape.form))
    return Stream(DirectReader(inputs, shape))
