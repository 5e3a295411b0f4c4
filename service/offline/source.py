"""Files of steps: their columns by name, and how they are read in pieces.

Owns the formats and what a file that can't be read is answered with. Knows nothing of models.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import csv, parquet

from service.errors import TableError

_BUFFER_BYTES = 256 * 1024
# Few enough that a batch's columns are still in the cache when they become rows.
_BATCH_ROWS = 16_384


class Source(Protocol):
    """A file of steps.

    Attributes:
        path: where it is.
        names: its columns, in the file's order.
    """

    path: Path
    names: Sequence[str]

    def keys(self, entity: str, order: str) -> pa.Table:
        """The two columns that say whose step a row is, and when it was."""

    def batches(self, features: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of numbers, some rows at a time, in the file's order."""


class ParquetSource:
    """A Parquet file, read in batches that do not grow with its row groups."""

    def __init__(self, path: Path) -> None:
        """Reads the file's schema.

        Raises:
            TableError: it is no whole Parquet file.
        """
        self.path = path
        with _reading(path, "Parquet"):
            # By default a whole row group would be read ahead.
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        self.names: Sequence[str] = self._file.schema_arrow.names

    def keys(self, entity: str, order: str) -> pa.Table:
        """The two columns, in the file's types."""
        with _reading(self.path, "Parquet"):
            return self._file.read(columns=[entity, order])

    def batches(self, features: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns, in the file's types."""
        with _reading(self.path, "Parquet"):
            yield from self._file.iter_batches(_BATCH_ROWS, columns=list(features))


class CsvSource:
    """A CSV file with a header; it has no types of its own.

    Entities are text, so that 007 stays 007; the type of the order is guessed from all its values;
    features are numbers.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file's header.

        Raises:
            TableError: it is no CSV file.
        """
        self.path = path
        self.names: Sequence[str] = ()
        with self._reading():
            self.names = csv.open_csv(path, _line_by_line()).schema.names
        if len(self.names) == 1 and ";" in self.names[0]:
            raise TableError(f"{path}: its cells seem to be separated by ';'; separate them by ','")

    def keys(self, entity: str, order: str) -> pa.Table:
        """The two columns; only an empty field is missing, since NA may well be an entity."""
        options = csv.ConvertOptions(
            include_columns=[entity, order],
            column_types={entity: pa.string()},
            null_values=[""],
            strings_can_be_null=True,
        )
        with self._reading():
            return csv.read_csv(self.path, _line_by_line(), convert_options=options)

    def batches(self, features: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns as float64."""
        options = csv.ConvertOptions(
            include_columns=list(features), column_types=dict.fromkeys(features, pa.float64())
        )
        with self._reading():
            yield from csv.open_csv(self.path, _line_by_line(), convert_options=options)

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        return _reading(self.path, "CSV", self.names)


def _line_by_line() -> csv.ReadOptions:
    """Without threads, so that a refusal can name its line."""
    return csv.ReadOptions(use_threads=False)


_SOURCES: dict[str, type[ParquetSource | CsvSource]] = {
    ".parquet": ParquetSource,
    ".csv": CsvSource,
}


def open_source(path: Path) -> Source:
    """Opens a file by its ending.

    Raises:
        TableError: there is no such file, its ending is unknown, or it can't be read.
    """
    source = _SOURCES.get(path.suffix.lower())
    if source is None:
        raise TableError(
            f"{path}: ends in {path.suffix!r}; give a file that ends in {' or '.join(_SOURCES)}"
        )
    if path.is_dir():
        raise TableError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise TableError(f"{path}: no such file; give the path of a file of steps")
    return source(path)


@contextlib.contextmanager
def _reading(path: Path, kind: str, names: Sequence[str] = ()) -> Iterator[None]:
    """Turns what the reader raises into one line."""
    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        cause = _plain(" ".join(str(error).split()), names)
        raise TableError(f"{path}: can't be read as {kind}: {cause}; write it again") from None


def _plain(cause: str, names: Sequence[str]) -> str:
    """The reader's words, with the name of a column instead of its number."""

    def name(match: re.Match[str]) -> Any:
        return f"column {names[int(match[1])]!r}"

    return re.sub(r"CSV column #(\d+)", name, cause).replace("Row #", "line ").rstrip(".")
