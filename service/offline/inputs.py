"""The input as a whole: one file, or all files of a folder, one after the other.

Owns which files belong to it, the columns that the names of folders give (date=2026-11-23), and
the place of every row. Knows nothing of what the values must be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from service.errors import TableError
from service.offline.source import Source, is_known, open_source

_MISSING = "__HIVE_DEFAULT_PARTITION__"


class Piece(NamedTuple):
    """Some rows of one file.

    Attributes:
        file: its number within the input.
        first: number of the first row within the file, from 0.
        rows: the columns that were asked for.
    """

    file: int
    first: int
    rows: pa.RecordBatch


@dataclass(frozen=True)
class Inputs:
    """Files whose rows follow each other.

    Attributes:
        path: what was named: a file or a folder.
        files: in the order of their paths.
        partitions: of each file the columns that its folders name, each one value.
    """

    path: Path
    files: tuple[Source, ...]
    partitions: tuple[Mapping[str, pa.Scalar], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the first file, those of its folders' names included."""
        return self.names_of(0)

    def names_of(self, file: int) -> tuple[str, ...]:
        """Columns of a file, those of its folders' names included."""
        names = self.files[file].schema.names
        return (*names, *(name for name in self.partitions[file] if name not in names))

    def type_of(self, file: int, name: str) -> pa.DataType:
        """Type of a column in a file."""
        schema = self.files[file].schema
        return schema.field(name).type if name in schema.names else self.partitions[file][name].type

    @property
    def rows(self) -> int | None:
        """How many there are; None where only reading tells."""
        known = [file.rows for file in self.files if file.rows is not None]
        return sum(known) if len(known) == len(self.files) else None

    @property
    def compression(self) -> str:
        """The codec of the first file, as Parquet calls it; zstd where it has none of its own."""
        return self.files[0].compression or "ZSTD"

    def describe(self) -> list[list[object]]:
        """What tells that the files are the same as before: path, bytes, time of change."""
        found: list[list[object]] = []
        for file in self.files:
            facts = file.path.stat()
            found.append([str(file.path), facts.st_size, facts.st_mtime_ns])
        return found

    def pieces(self, names: Sequence[str], file: int, start: int) -> Iterator[Piece]:
        """The rows of a file, from about a row on, and those of all files behind it."""
        for number in range(file, len(self.files)):
            source, given = self.files[number], self.partitions[number]
            own = [name for name in names if name in source.schema.names]
            for first, batch in source.batches(own, start if number == file else 0):
                columns = [
                    batch.column(name) if name in own else pa.repeat(given[name], len(batch))
                    for name in names
                ]
                yield Piece(number, first, pa.record_batch(columns, names=list(names)))


def open_inputs(path: Path) -> Inputs:
    """Opens a file, or all files of a folder that have a known ending.

    Raises:
        TableError: there is nothing to read, or a file can't be read.
    """
    if not path.is_dir():
        return Inputs(path, (open_source(path),), ({},))
    found = sorted(_files(path))
    if not found:
        raise TableError(f"{path}: has no file of steps; give a folder of .parquet files")
    kinds = sorted({file.suffix.lower() for file in found})
    if len(kinds) > 1:
        raise TableError(
            f"{path}: has files that end in {' and in '.join(kinds)}; score one kind at a time"
        )
    keys = [_keys(file.relative_to(path)) for file in found]
    return Inputs(path, tuple(map(open_source, found)), tuple(_typed(keys)))


def _files(folder: Path) -> Iterator[Path]:
    """Files of steps below a folder; names that begin with . or _ are not data, by custom."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if is_known(path) and path.is_file() and not any(part[0] in "._" for part in parts):
            yield path


def _keys(path: Path) -> dict[str, str]:
    pairs = (part.partition("=") for part in path.parts[:-1])
    return {unquote(name): unquote(value) for name, equals, value in pairs if equals}


def _typed(keys: Sequence[Mapping[str, str]]) -> Iterator[dict[str, pa.Scalar]]:
    """Whole numbers where all values of a name are, as others write and read such folders."""
    names = {name for given in keys for name in given}
    texts = {name: [given[name] for given in keys if name in given] for name in names}
    whole = {
        name
        for name, values in texts.items()
        if all(value == _MISSING or _is_whole(value) for value in values)
    }
    for given in keys:
        yield {
            name: pa.scalar(
                None if value == _MISSING else int(value) if name in whole else value,
                pa.int64() if name in whole else pa.string(),
            )
            for name, value in given.items()
        }


def _is_whole(text: str) -> bool:
    try:
        return str(int(text)) == text and abs(int(text)) < 2**63
    except ValueError:
        return False
