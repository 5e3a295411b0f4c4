"""The kinds of files that a recording may be in.

Owns how each is opened and read: CSV, Parquet (with pyarrow, where that is installed) and NumPy's
.npy. Knows nothing of what the columns mean.
"""

import csv
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from statewise_client.command.table import Row, Table
from statewise_client.errors import InputError

STDIN = "-"


@contextmanager
def open_csv(source: str) -> Iterator[Table]:
    """A CSV table with a header, read line by line: from a path, or "-" for standard input.

    Raises:
        InputError: it can't be read; at once, or when a row can't be.
    """
    with _open_text(source) as file:
        rows = _csv_rows(source, csv.reader(file, strict=True))
        columns = tuple(str(name).strip() for name in next(rows, Row("", ())).cells)
        if not columns:
            raise InputError(f"{source}: it is empty; write a header line and a line a step")
        yield Table(source, columns, _of_one_length(source, len(columns), rows))


@contextmanager
def open_parquet(source: str) -> Iterator[Table]:
    """A Parquet table, read batch by batch.

    Raises:
        InputError: pyarrow is not installed, or the file can't be read.
    """
    try:
        pyarrow = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            f"{source}: Parquet needs pyarrow; install it (pip install pyarrow), or give CSV"
        ) from None
    try:
        file = pyarrow.ParquetFile(source)
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from None
    with file:
        yield Table(source, tuple(file.schema_arrow.names), _parquet_rows(source, file))


def load_npy(source: str) -> NDArray[np.generic]:
    """The array of an .npy file, left on disk until it is used.

    Raises:
        InputError: it can't be read, or is no array of plain numbers.
    """
    try:
        # Never with pickles: to load one is to run whatever it says.
        array = np.load(source, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(source, error) from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{source}: it is an archive of arrays; give a single one, as .npy")
    return array


@contextmanager
def _open_text(source: str) -> Iterator[TextIO]:
    is_stdin = source == STDIN
    file = sys.stdin.fileno() if is_stdin else source
    # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
    with open(file, encoding="utf-8-sig", newline="", closefd=not is_stdin) as text:
        yield text


def _csv_rows(source: str, reader: Any) -> Iterator[Row]:
    try:
        for cells in reader:
            if cells:
                yield Row(f"line {reader.line_num}", cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(source, error) from None


def _of_one_length(source: str, length: int, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if len(row.cells) != length:
            raise InputError(
                f"{source}, {row.place}: it has {len(row.cells)} cells; the header has {length}"
            )
        yield row


def _parquet_rows(source: str, file: Any) -> Iterator[Row]:
    number = 0
    try:
        for batch in file.iter_batches():
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield Row(f"row {number}", cells)
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from None


def _unreadable(source: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError):
        remedy = "save it as UTF-8 text"
    elif isinstance(error, PermissionError):
        remedy = "give this user the right to read it"
    else:
        remedy = "write it again, or give it the ending of what it is"
    return InputError(f"{source}: it can't be read: {reason}; {remedy}")
