"""The file of answers: a row a step, in CSV or Parquet (with pyarrow, where that is installed).

Owns its columns, and that it is there whole or not at all. Knows nothing of streams.
"""

import csv
import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from statewise_client.arrays import Float32
from statewise_client.command.entities import Recording
from statewise_client.command.lines import shortest
from statewise_client.errors import InputError
from statewise_client.protocol import StreamInfo

PREDICTED = "predicted"
_KINDS = (".csv", ".parquet")


class Answers(Protocol):
    """A file that takes answers."""

    def add(self, recording: Recording, outputs: Float32) -> None:
        """Appends the rows of one entity; outputs are (steps, outputs)."""


def check(path: Path) -> None:
    """Whether answers could be written there, asked before a server is.

    Raises:
        InputError: the ending is unknown, it is a folder, or pyarrow is missing.
    """
    if path.suffix.lower() not in _KINDS:
        raise InputError(f"{path}: give --output a name that ends in .csv or .parquet")
    if path.is_dir():
        raise InputError(f"{path}: it is a folder; name a file in it")
    if path.suffix.lower() == ".parquet":
        _parquet(path)


@contextmanager
def writing(path: Path, info: StreamInfo, entity: str, order: str) -> Iterator[Answers]:
    """A file that takes the place of `path` if the block ends well.

    Raises:
        InputError: two columns would have one name.
        OSError: it can't be written.
    """
    names = [entity, order, *info.outputs]
    names += [PREDICTED] if info.outputs_are_classes else []
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"{path}: column {twice[0]!r} would be there twice; rename it in the input"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        kind = _CsvAnswers if path.suffix.lower() == ".csv" else _ParquetAnswers
        answers = kind(temporary, names, info)
        try:
            yield answers
        finally:
            answers.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _winners(info: StreamInfo, outputs: Float32) -> list[str]:
    return [info.outputs[index] for index in outputs.argmax(axis=1)]


class _CsvAnswers:
    """Lines under a header."""

    def __init__(self, path: Path, names: Sequence[str], info: StreamInfo) -> None:
        self._info = info
        self._file = path.open("w", encoding="utf-8", newline="")
        self._table = csv.writer(self._file, lineterminator="\n")
        self._table.writerow(names)

    def add(self, recording: Recording, outputs: Float32) -> None:
        classes = self._info.outputs_are_classes
        winners = _winners(self._info, outputs) if classes else None
        for index, (when, row) in enumerate(zip(recording.order, outputs, strict=True)):
            line = [recording.entity, when, *shortest(row)]
            self._table.writerow(line if winners is None else [*line, winners[index]])

    def close(self) -> None:
        self._file.close()


class _ParquetAnswers:
    """Row groups of some entities each; the types of the keys are those of the first."""

    _ROWS = 65_536

    def __init__(self, path: Path, names: Sequence[str], info: StreamInfo) -> None:
        self._arrow, self._parquet = _parquet(path)
        self._path = path
        self._names = list(names)
        self._info = info
        self._writer: Any = None
        self._held: list[tuple[Recording, Float32]] = []
        self._rows = 0

    def add(self, recording: Recording, outputs: Float32) -> None:
        self._held.append((recording, outputs))
        self._rows += len(outputs)
        if self._rows >= self._ROWS:
            self._flush()

    def close(self) -> None:
        if self._held or self._writer is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns: list[list[Any]] = [[] for _ in self._names]
        for recording, outputs in self._held:
            columns[0] += [recording.entity] * len(outputs)
            columns[1] += recording.order
            for column, values in zip(columns[2:], outputs.T, strict=False):
                column += values.tolist()
            if self._info.outputs_are_classes:
                columns[-1] += _winners(self._info, outputs)
        if self._writer is None:
            form = self._form(columns)
            self._writer = self._parquet.ParquetWriter(self._path, form, compression="zstd")
        arrays = dict(zip(self._names, columns, strict=True))
        self._writer.write_table(self._arrow.table(arrays, schema=self._writer.schema))
        self._held, self._rows = [], 0

    def _form(self, columns: Sequence[list[Any]]) -> Any:
        keys = [self._arrow.array(column).type for column in columns[:2]]
        outputs = [self._arrow.float32()] * len(self._info.outputs)
        rest = [self._arrow.string()] if self._info.outputs_are_classes else []
        return self._arrow.schema(list(zip(self._names, [*keys, *outputs, *rest], strict=True)))


def _parquet(path: Path) -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs pyarrow; install it (pip install pyarrow), or write .csv"
        ) from None
