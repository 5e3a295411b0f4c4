"""CSV files of steps. They have no types: every cell is a text until somebody knows better.

Owns the reader, and the lines that have another number of cells than the header.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from service.errors import TableError


class BrokenLine(NamedTuple):
    """A line that is no row: its row number, told from 1, and what is wrong with it."""

    row: int
    problem: str


class CsvSource:
    """A CSV file with a header.

    Attributes:
        on_broken: is told of each line that is no row, in the file's order; such a line is left
            out, though it keeps its number.
    """

    compression: str | None = None

    def __init__(self, path: Path) -> None:
        """Reads the file's header.

        Raises:
            TableError: it is no CSV file.
        """
        self.path = path
        self.rows: int | None = None
        self.on_broken: Callable[[BrokenLine], None] | None = None
        with reading(path, "CSV"), csv.open_csv(path, _line_by_line(), _parsing([])) as reader:
            names = reader.schema.names
        other = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
        if other is not None:
            raise TableError(
                f"{path}: its cells seem to be separated by {other!r}; separate them by ','"
            )
        self.schema = pa.schema([(name, pa.string()) for name in names])

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Every batch from the file's beginning, as texts; an empty cell is missing.

        A batch that a broken line parts is given in pieces, so that rows keep their numbers.
        """
        options = csv.ConvertOptions(
            include_columns=list(names),
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        )
        broken: list[BrokenLine] = []
        told = good = 0
        with (
            reading(self.path, "CSV"),
            csv.open_csv(
                self.path, _line_by_line(), _parsing(broken), convert_options=options
            ) as reader,
        ):
            for batch in reader:
                told = self._tell(broken, told)
                yield from _numbered(batch, good, [line.row for line in broken])
                good += len(batch)
        self._tell(broken, told)

    def _tell(self, broken: list[BrokenLine], told: int) -> int:
        """Tells of the lines that nobody was told of; how many were told of now."""
        for line in broken[told:]:
            if self.on_broken is not None:
                self.on_broken(line)
        return len(broken)


def _parsing(broken: list[BrokenLine]) -> csv.ParseOptions:
    """Leaves lines out that are no rows, and lists them."""

    def skip(line: Any) -> str:
        cells, wanted = line.actual_columns, line.expected_columns
        problem = f"has {cells} cells, the header has {wanted}; mend the line, or leave it out"
        broken.append(BrokenLine(line.number - 1, problem))
        return "skip"

    return csv.ParseOptions(invalid_row_handler=skip)


def _numbered(
    batch: pa.RecordBatch, good: int, broken: list[int]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Pieces of a batch within which row numbers follow each other.

    Args:
        batch: rows that are rows.
        good: how many such rows came before it.
        broken: row numbers, told from 1, of lines that are none, growing.
    """
    # So many good rows stand before each broken line.
    before = np.array(broken, np.int64) - 1 - np.arange(len(broken))
    cuts = np.unique(np.clip(before - good, 0, len(batch)))
    bounds = [0, *cuts[(cuts > 0) & (cuts < len(batch))].tolist(), len(batch)]
    for start, stop in pairwise(bounds):
        skipped = int(np.searchsorted(before, good + start, side="right"))
        if stop > start:
            yield good + start + skipped, batch.slice(start, stop - start)


def _line_by_line() -> csv.ReadOptions:
    """Without threads, so that a refusal can name its line."""
    return csv.ReadOptions(use_threads=False)


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turns what a reader raises into one line; that there is no file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        cause = " ".join(str(error).split()).replace("Row #", "line ").rstrip(".")
        is_text = isinstance(error, UnicodeDecodeError) or "invalid UTF8" in cause
        remedy = "save it as UTF-8" if is_text else "write it again"
        raise TableError(f"{path}: can't be read as {kind}: {cause}; {remedy}") from None
