"""A Parquet, CSV or Arrow file as columns, with errors that say where the fault is.

Owns file formats and the wording of places. Knows nothing of what columns are for; `columns` turns
them into numbers and classes. A file is opened, not read: a few columns are taken whole, and many
block by block, so that a Parquet or Arrow file may be larger than memory.
"""

import difflib
import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from training.errors import DataError

# Rows of a block: large enough for full speed, small enough for any memory.
_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Table:
    """Rows of a file, in memory.

    Attributes:
        path: the file, for messages.
        rows: those columns that were asked for, and `entity`.
        entity: the column that says which sequence a row belongs to, for messages.
        first: place of the first of these rows in the file, counted from 0.
    """

    path: Path
    rows: pa.Table
    entity: str
    first: int = 0

    def column(self, name: str) -> pa.ChunkedArray:
        """One column."""
        return self.rows[name]

    def fault(self, column: str, row: int, problem: str) -> DataError:
        """An error at one cell; `row` counts from 0, and is told from 1, without the header."""
        place = f"{self.path}: column '{column}', row {self.first + row + 1}"
        if column != self.entity:
            place += f" ({self.entity} {self.rows[self.entity][row]})"
        return DataError(f"{place}: {problem}")


@dataclass(frozen=True)
class TableFile:
    """A file that is open.

    Attributes:
        path: where it is.
        content: its rows: in memory, mapped, or yet to be read.
        entity: the column that says which sequence a row belongs to, for messages.
    """

    path: Path
    content: pa.Table | pa.parquet.ParquetFile
    entity: str

    @property
    def names(self) -> list[str]:
        """Of all columns, in the file's order."""
        return list(self._schema.names)

    @property
    def rows(self) -> int:
        """How many there are."""
        content = self.content
        return int(content.num_rows if isinstance(content, pa.Table) else content.metadata.num_rows)

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Names of the columns that a name or a pattern such as "accel_*" stands for.

        Raises:
            DataError: there is none.
        """
        names = tuple(fnmatch.filter(self.names, pattern))
        if names:
            return names
        self._check([pattern])
        return (pattern,)

    def read(self, names: list[str]) -> Table:
        """Whole columns.

        Raises:
            DataError: there is none of a name, or there are several, or the file is damaged.
        """
        needed = self._check([self.entity, *names])
        with _damage_named(self.path):
            if isinstance(self.content, pa.Table):
                rows = self.content.select(needed)
            else:
                rows = self.content.read(needed)
        return Table(self.path, rows, self.entity)

    def blocks(self, names: list[str]) -> Iterator[Table]:
        """Columns block by block, in the order of the rows.

        Raises:
            DataError: as for `read`.
        """
        needed = self._check([self.entity, *names])
        if isinstance(self.content, pa.Table):
            batches = iter(self.content.select(needed).to_batches(_BLOCK_ROWS))
        else:
            batches = self.content.iter_batches(_BLOCK_ROWS, columns=needed)
        first = 0
        while True:
            with _damage_named(self.path):
                batch = next(batches, None)
            if batch is None:
                return
            yield Table(self.path, pa.Table.from_batches([batch]), self.entity, first)
            first += batch.num_rows

    @property
    def _schema(self) -> pa.Schema:
        content = self.content
        return content.schema if isinstance(content, pa.Table) else content.schema_arrow

    def _check(self, needed: list[str]) -> list[str]:
        """The names, each once, if each is that of one column."""
        names = self.names
        for name in needed:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
                raise DataError(f"{self.path}: there is no column '{name}'; {hint}")
            if names.count(name) > 1:
                raise DataError(f"{self.path}: column '{name}' is there twice; rename one of them")
        return list(dict.fromkeys(needed))


def open_table(path: Path, entity: str) -> TableFile:
    """Opens a file by its ending.

    The columns of a CSV file are kept as text: "007" stays an identifier, and a number is parsed
    where it is used as one. Such a file is read into memory.

    Raises:
        DataError: the file is missing, damaged, empty, of another kind, or has no entity column.
    """
    if path.suffix not in _READERS:
        kinds = ", ".join(_READERS)
        raise DataError(f"{path}: not a table that can be read; give a file in {kinds}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file in it in data.path")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check data.path")
    with _damage_named(path):
        file = TableFile(path, _READERS[path.suffix](path), entity)
    if file.rows == 0:
        raise DataError(f"{path}: the table has no rows; nothing to train on")
    return file


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Tells what pyarrow stumbles over in one line."""
    try:
        yield
    except pa.ArrowMemoryError:
        raise DataError(
            f"{path}: takes more memory than there is; give it as Parquet, in row groups of a "
            "hundred thousand rows at most"
        ) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: damaged {path.suffix} file: {reason}") from None


def _read_csv(path: Path) -> pa.Table:
    with pa.csv.open_csv(path) as reader:
        names = reader.schema.names
    if len(names) == 1 and ";" in names[0]:
        raise DataError(f"{path}: its cells seem to be separated by ';'; separate them by ','")
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pa.csv.read_csv(path, convert_options=as_text)


def _open_parquet(path: Path) -> pa.parquet.ParquetFile:
    # By small buffers: otherwise a whole row group's columns are held in memory.
    return pa.parquet.ParquetFile(path, pre_buffer=False, buffer_size=16_384)


def _read_arrow(path: Path) -> pa.Table:
    # Mapped, so that only what is used is read.
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


_READERS = {
    ".parquet": _open_parquet,
    ".csv": _read_csv,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}
