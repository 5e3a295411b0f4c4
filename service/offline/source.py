"""One file of steps: its columns by name, and how it is read in pieces.

Owns the formats and what a file that can't be read is answered with. Knows nothing of models, nor
of what its columns mean.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pyarrow import ipc, parquet

from service.errors import TableError
from service.offline.separated import CsvSource, reading

# Few enough that a batch's columns are still in the cache when they become rows, and, of wide rows,
# that a batch is small beside a window.
_BATCH_ROWS, _BATCH_CELLS = 16_384, 1_048_576
# Of a column that is read; of all columns together, unless they are very many.
_BUFFER_BYTES, _ALL_BUFFERS_BYTES, _LEAST_BUFFER_BYTES = 262_144, 8_388_608, 8_192


def batch_rows(columns: int) -> int:
    """How many rows of so many columns are handled at once."""
    return max(1, min(_BATCH_ROWS, _BATCH_CELLS // max(1, columns)))


def _buffer_bytes(columns: int) -> int:
    """How much of each of so many columns is read at once."""
    fair = _ALL_BUFFERS_BYTES // max(1, columns)
    return max(_LEAST_BUFFER_BYTES, min(_BUFFER_BYTES, fair))


class Source(Protocol):
    """A file of steps.

    Attributes:
        path: where it is.
        schema: its columns, in the file's order; CSV has texts only.
        rows: how many it has; None where only reading tells.
        compression: the codec of a Parquet file's columns; None for other files.
    """

    path: Path
    schema: pa.Schema
    rows: int | None
    compression: str | None

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Some columns from about a row on: the number of a batch's first row, and the batch.

        The first batch may begin before `start`: no reader can begin everywhere.
        """


class ParquetSource:
    """A Parquet file, read in batches that do not grow with its row groups."""

    def __init__(self, path: Path) -> None:
        """Reads the file's metadata.

        Raises:
            TableError: it is no whole Parquet file.
        """
        self.path = path
        with reading(path, "Parquet"), self._open(1) as file:
            self.schema = file.schema_arrow
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        self._groups = [group.num_rows for group in groups]
        self.rows: int | None = sum(self._groups)
        filled = groups and groups[0].num_columns
        self.compression = groups[0].column(0).compression if filled else None

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """From the row group on that holds the row."""
        first = group = 0
        while group < len(self._groups) and first + self._groups[group] <= start:
            first += self._groups[group]
            group += 1
        rest, rows = list(range(group, len(self._groups))), batch_rows(len(names))
        with reading(self.path, "Parquet"), self._open(len(names)) as file:
            for batch in file.iter_batches(rows, row_groups=rest, columns=list(names)):
                yield first, batch
                first += len(batch)

    def _open(self, columns: int) -> parquet.ParquetFile:
        # By default a whole row group would be read ahead.
        buffer = _buffer_bytes(columns)
        return parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=buffer)


class ArrowSource:
    """An Arrow file, or a stream in a file. Each of its record batches is held whole."""

    compression: str | None = None

    def __init__(self, path: Path) -> None:
        """Reads the file's schema.

        Raises:
            TableError: it is neither.
        """
        self.path = path
        self.rows: int | None = None
        with reading(path, "Arrow"), pa.OSFile(str(path)) as file:
            self._is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            self.schema = self._open(file, None).schema

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Every batch from the file's beginning."""
        wanted = [self.schema.get_field_index(name) for name in names]
        first, rows = 0, batch_rows(len(names))
        with reading(self.path, "Arrow"), pa.OSFile(str(self.path)) as file:
            reader = self._open(file, wanted)
            whole = (
                map(reader.get_batch, range(reader.num_record_batches)) if self._is_file else reader
            )
            for batch in whole:
                for offset in range(0, len(batch), rows):
                    yield first + offset, batch.slice(offset, rows)
                first += len(batch)

    def _open(
        self, file: pa.NativeFile, wanted: list[int] | None
    ) -> ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader:
        options = ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        kind = ipc.open_file if self._is_file else ipc.open_stream
        return kind(file, options=options)


_SOURCES: dict[str, type[ParquetSource | CsvSource | ArrowSource]] = {
    ".parquet": ParquetSource,
    ".csv": CsvSource,
    ".arrow": ArrowSource,
    ".feather": ArrowSource,
    ".ipc": ArrowSource,
}


def is_known(path: Path) -> bool:
    """Whether a file has the ending of a format."""
    return path.suffix.lower() in _SOURCES


def open_source(path: Path) -> Source:
    """Opens a file by its ending.

    Raises:
        TableError: its ending is unknown, or it can't be read.
    """
    source = _SOURCES.get(path.suffix.lower())
    if source is None:
        *others, last = _SOURCES
        raise TableError(
            f"{path}: ends in {path.suffix!r}; give a file that ends in {', '.join(others)} or "
            f"{last}"
        )
    with contextlib.suppress(FileNotFoundError):
        return source(path)
    raise TableError(f"{path}: no such file; give the path of a file of steps")
