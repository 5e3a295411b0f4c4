"""A Parquet, CSV or Arrow file as columns, with errors that say where the fault is.

Owns file formats and the wording of places. Knows nothing of what columns are for; `columns` turns
them into numbers and classes.
"""

import difflib
import fnmatch
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from training.errors import DataError


@dataclass(frozen=True)
class Table:
    """Rows of a file.

    Attributes:
        path: the file, for messages.
        rows: its content.
        entity: the column that says which sequence a row belongs to, for messages.
    """

    path: Path
    rows: pa.Table
    entity: str

    def column(self, name: str) -> pa.ChunkedArray:
        """One column.

        Raises:
            DataError: there is none of that name, or there are several.
        """
        names = self.rows.column_names
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
            raise DataError(f"{self.path}: there is no column '{name}'; {hint}")
        if names.count(name) > 1:
            raise DataError(f"{self.path}: column '{name}' is there twice; rename one of them")
        return self.rows[name]

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Names of the columns that a name or a pattern such as "accel_*" stands for.

        Raises:
            DataError: there is none.
        """
        names = tuple(fnmatch.filter(self.rows.column_names, pattern))
        if names:
            return names
        self.column(pattern)
        return (pattern,)

    def fault(self, column: str, row: int, problem: str) -> DataError:
        """An error at one cell; `row` counts from 0, and is told from 1, without the header."""
        place = f"{self.path}: column '{column}', row {row + 1}"
        if column != self.entity:
            place += f" ({self.entity} {self.rows[self.entity][row]})"
        return DataError(f"{place}: {problem}")


def read_table(path: Path, entity: str) -> Table:
    """Reads a file by its ending.

    The columns of a CSV file are kept as text: "007" stays an identifier, and a number is parsed
    where it is used as one.

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
    try:
        rows = _READERS[path.suffix](path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged {path.suffix} file: {_first_line(error)}") from None
    if rows.num_rows == 0:
        raise DataError(f"{path}: the table has no rows; nothing to train on")
    table = Table(path, rows, entity)
    table.column(entity)
    return table


def _read_csv(path: Path) -> pa.Table:
    with pa.csv.open_csv(path) as reader:
        names = reader.schema.names
    if len(names) == 1 and ";" in names[0]:
        raise DataError(f"{path}: its cells seem to be separated by ';'; separate them by ','")
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pa.csv.read_csv(path, convert_options=as_text)


def _read_arrow(path: Path) -> pa.Table:
    # Mapped, so that only the columns that are used are read.
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


_READERS = {
    ".parquet": pa.parquet.read_table,
    ".csv": _read_csv,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
