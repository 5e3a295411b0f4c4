"""The states of entities: those that a score begins with, and those that it leaves.

Owns the file of states, one row an entity, and what of it a task needs. A state itself is a blob
that others make and read. Knows nothing of answers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import ipc, parquet

from service.errors import InvalidArgument, TableError
from service.offline.columns import shown
from service.offline.sortable import sortable, sortable_type
from service.offline.steps import Block
from service.offline.window import Known, Window
from service.tensors import Array

STATES = "states.arrow"
_NAMES = ("entity", "order", "steps", "state")
_BATCH = 8_192


class Codec(Protocol):
    """What makes a blob of a state, and a state of a blob."""

    def encode(self, row: Array, steps: int) -> bytes:
        """The blob of a packed row, (state size,), after so many steps."""

    def decode(self, blob: bytes) -> tuple[Array, int]:
        """The packed row of a blob, and its steps.

        Raises:
            InvalidArgument: it is none of this model.
        """


def schema(entity: pa.DataType, order: pa.DataType) -> pa.Schema:
    """Columns of a file of states; order is when the last step was."""
    return pa.schema(
        [("entity", entity), ("order", order), ("steps", pa.int64()), ("state", pa.binary())]
    )


@dataclass(frozen=True)
class StateFiles:
    """Where states come from, and whether they go anywhere.

    Attributes:
        initial: packed state of an entity that begins anew, (state size,).
        form: columns of the files.
        source: the file to begin with; None where all begin anew.
        wanted: whether states are kept in the end.
        codec: of the blobs.
    """

    initial: Array
    form: pa.Schema
    source: Path | None
    wanted: bool
    codec: Codec

    @property
    def used(self) -> bool:
        """Whether states come from anywhere or go anywhere."""
        return self.wanted or self.source is not None

    @contextmanager
    def beginnings(self, folder: Path) -> Iterator["Beginnings"]:
        """The states of one task, whose own go into a file of the folder."""
        if not self.wanted:
            yield Beginnings(self, None)
            return
        with ipc.new_file(str(folder / STATES), self.form) as file:
            yield Beginnings(self, file)


class Beginnings:
    """The states of the entities of one task."""

    def __init__(self, files: StateFiles, out: ipc.RecordBatchFileWriter | None) -> None:
        """Knows nobody yet."""
        self._files = files
        self._out = out
        self._found: pa.Table | None = None
        self._kept: Array = np.empty((0, len(files.initial)), files.initial.dtype)
        self._steps: NDArray[np.int64] = np.zeros(0, np.int64)
        self._ended: tuple[pa.Array, pa.Array] | None = None

    def known(self, block: Block) -> Known | None:
        """What was scored before of the entities of some rows; None where that is nothing.

        Raises:
            TableError: the file of states can't be read.
        """
        source = self._files.source
        if source is None:
            return None
        self._found = read_states(source, block.entities, self._files.form)
        if self._found.num_rows == 0:
            return None
        found = self._found.combine_chunks().to_batches()[0]
        return Known(found.column("entity"), found.column("order"))

    def states(self, window: Window, *, goes_on: bool) -> tuple[Array, NDArray[np.intp]]:
        """The state that each sequence begins in, to be overwritten by its last, and its place.

        Args:
            window: the sequences.
            goes_on: whether the first of them is the last of the window before.
        """
        count = len(window.starts)
        if not goes_on:
            self._kept = np.tile(self._files.initial, (count, 1))
            self._steps = np.zeros(count, np.int64)
            self._fill(window)
        return self._kept, np.arange(count)

    def keep(self, window: Window) -> None:
        """Takes the states that the sequences have ended in."""
        self._steps += window.lengths
        self._ended = window.entities, self._last_order(window)

    def end(self) -> None:
        """Writes what the last window has left."""
        if self._out is None or self._ended is None:
            return
        entities, order = self._ended
        codec = self._files.codec
        for start in range(0, len(self._kept), _BATCH):
            rows, steps = self._kept[start : start + _BATCH], self._steps[start : start + _BATCH]
            blobs = [
                codec.encode(row, count) for row, count in zip(rows, steps.tolist(), strict=True)
            ]
            keys = entities.slice(start, len(rows)), order.slice(start, len(rows))
            arrays = [*keys, pa.array(steps), pa.array(blobs, pa.binary())]
            self._out.write_batch(pa.record_batch(arrays, schema=self._files.form))

    def _last_order(self, window: Window) -> pa.Array:
        return window.block.order.take(pa.array(window.starts + window.lengths - 1))

    def _fill(self, window: Window) -> None:
        if self._found is None or self._found.num_rows == 0:
            return
        found = self._found.combine_chunks().to_batches()[0]
        places = pc.index_in(
            sortable(window.entities), value_set=sortable(found.column("entity"))
        ).to_numpy(zero_copy_only=False)
        for sequence in np.flatnonzero(~np.isnan(places.astype(np.float64))).tolist():
            place = int(places[sequence])
            try:
                state, steps = self._files.codec.decode(found.column("state")[place].as_py())
            except InvalidArgument as error:
                raise TableError(
                    f"{self._files.source}: column 'state', entity "
                    f"{shown(found.column('entity')[place])}: {error}; give the states that this "
                    "model has left"
                ) from None
            self._kept[sequence], self._steps[sequence] = state, steps


def check(path: Path, form: pa.Schema) -> None:
    """Refuses a file of states that can't go with an input.

    Raises:
        TableError: it can't be read, or its columns are others.
    """
    try:
        found = parquet.read_schema(path)
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; give what --state-out has written") from None
    except (OSError, pa.ArrowException) as error:
        cause = " ".join(str(error).split()).rstrip(".")
        raise TableError(
            f"{path}: can't be read as Parquet: {cause}; give what --state-out has written"
        ) from None
    if tuple(found.names) != _NAMES:
        raise TableError(
            f"{path}: has columns {', '.join(found.names)}; a file of states has "
            f"{', '.join(_NAMES)}: give what --state-out has written"
        )
    for name in ("entity", "order"):
        have, want = found.field(name).type, form.field(name).type
        if have.id != want.id and sortable_type(have) != sortable_type(want):
            raise TableError(
                f"{path}: column {name!r} is of type {have}, and {want} in the input; convert the "
                "input as it was when the states were made"
            )


def read_states(path: Path, entities: pa.Array, form: pa.Schema) -> pa.Table:
    """The states of some entities; only what may hold one of them is read.

    Args:
        path: a file of states that was checked.
        entities: whose, not empty.
        form: columns that the states are to have.
    """
    file = parquet.ParquetFile(path, pre_buffer=False)
    wanted = sortable(entities)
    bounds = pc.min_max(wanted)
    low, high = bounds["min"], bounds["max"]
    found = []
    for group in range(file.num_row_groups):
        if not _overlaps(file, group, low, high):
            continue
        for batch in file.iter_batches(_BATCH, row_groups=[group]):
            mask = pc.is_in(sortable(batch.column("entity")), value_set=wanted)
            if mask.true_count:
                found.append(_formed(batch.filter(mask), form))
    return pa.Table.from_batches(found, form)


def _overlaps(file: parquet.ParquetFile, group: int, low: pa.Scalar, high: pa.Scalar) -> bool:
    """Whether a row group may hold a key between two; true where nothing tells."""
    column = file.metadata.row_group(group).column(0)
    statistics = column.statistics
    kind = file.schema_arrow.field(0).type
    if statistics is None or not statistics.has_min_max or pa.types.is_temporal(kind):
        return True
    least = sortable(pa.array([statistics.min], kind))[0]
    most = sortable(pa.array([statistics.max], kind))[0]
    return not _apart(least, most, low, high)


def _formed(batch: pa.RecordBatch, form: pa.Schema) -> pa.RecordBatch:
    # Parquet keeps seconds as milliseconds, and tells texts of several kinds alike.
    keys = [batch.column(name).cast(form.field(name).type) for name in ("entity", "order")]
    return pa.record_batch([*keys, batch.column("steps"), batch.column("state")], schema=form)


def silent(path: Path, parts: Sequence[Path], form: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The states of entities that had no step this time, as they were.

    Args:
        path: a file of states that was checked.
        parts: files of states, each with those of some entities that had, in order.
        form: columns that the states are to have.
    """
    ranges = [pc.min_max(sortable(_entities(part))) for part in parts]
    for batch in parquet.ParquetFile(path, pre_buffer=False).iter_batches(_BATCH):
        old = _formed(batch, form)
        keys = sortable(old.column("entity"))
        low, high = pc.min(keys), pc.max(keys)
        for part, bounds in zip(parts, ranges, strict=True):
            least, most = bounds["min"], bounds["max"]
            if not least.is_valid or _apart(least, most, low, high):
                continue
            new = pc.is_in(keys, value_set=sortable(_entities(part)))
            old, keys = old.filter(pc.invert(new)), keys.filter(pc.invert(new))
        if len(old):
            yield old


def _entities(part: Path) -> pa.Array:
    """The entities of a part's states."""
    with pa.OSFile(str(part)) as file:
        options = ipc.IpcReadOptions(included_fields=[0])
        column = ipc.open_file(file, options=options).read_all().column(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _apart(least: pa.Scalar, most: pa.Scalar, low: pa.Scalar, high: pa.Scalar) -> bool:
    """Whether two ranges of keys have none in common."""
    return bool(pc.less(most, low).as_py() or pc.less(high, least).as_py())
