"""Steps in any company, sorted by entity and order on disk.

Owns the only import of duckdb, the sorted file and its form. Memory is bounded by what it is given;
what does not fit goes to a folder.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from service.errors import TableError
from service.offline.pieces import Pieces, binary, numbers
from service.offline.ranges import range_of
from service.offline.results import read_part
from service.offline.sortable import restored, sortable, sortable_type
from service.offline.source import batch_rows
from service.offline.steps import Block, missing

# Rows of one entity and order stay as they stood, so that a second run finds them alike.
_QUERY = 'SELECT * FROM steps ORDER BY "entity", "order" NULLS LAST, "file", "number", "piece"'

_FULL = os.strerror(errno.ENOSPC)
# As the library has them, too.
_PIECES_AT_ONCE = 2_048


@dataclass(frozen=True)
class Form:
    """What a sorted file keeps of steps.

    Attributes:
        entity, order: types of the keys, as users have them.
        features: how many.
    """

    entity: pa.DataType
    order: pa.DataType
    features: int

    @property
    def batch_rows(self) -> int:
        """Rows of each batch of the sorted file, but the last."""
        return batch_rows(self.features)

    @property
    def schema(self) -> pa.Schema:
        """Of the sorted file; the features of a row are one value of bytes."""
        return pa.schema(
            [
                ("entity", sortable_type(self.entity)),
                ("order", sortable_type(self.order)),
                ("file", pa.int32()),
                ("number", pa.int64()),
                ("features", pa.binary()),
                ("column", pa.string()),
                ("problem", pa.string()),
            ]
        )

    def pack(self, block: Block) -> pa.RecordBatch:
        """Steps as the sorted file keeps them."""
        order = sortable(block.order)
        if pa.types.is_floating(order.type):
            order = pa.array(order, mask=missing(order))
        arrays = [sortable(block.entities), order, pa.array(block.files), pa.array(block.numbers)]
        arrays += [binary(block.features), block.columns, block.problems]
        return pa.record_batch(arrays, schema=self.schema)

    def unpack(self, batch: pa.RecordBatch) -> Block:
        """Steps that were kept."""
        entities, order, files, places, features, columns, problems = batch.columns
        return Block(
            restored(entities, self.entity),
            restored(order, self.order),
            numbers(features, self.features),
            files.to_numpy(),
            places.to_numpy(),
            columns,
            problems,
        )


def sort(
    blocks: Iterator[Block], form: Form, path: Path, megabytes: int, bounds: pa.Array | None = None
) -> Iterator[Block]:
    """Sorts steps into a file; yields them as they are written.

    Args:
        blocks: of any company and order.
        form: of the file.
        path: where the file goes; beside it a folder takes what memory does not.
        megabytes: most memory of the sorting.
        bounds: first entity of each range but the first, where there is too much to be sorted at
            once; ranges are then put apart on disk, and sorted one after the other.

    Raises:
        TableError: memory or disk do not suffice.
        Exception: whatever `blocks` raises.
    """
    # Imported here, since sorted input does without.
    import duckdb

    source, folder = _Source(blocks, form), path.with_suffix(".sorting")
    folder.mkdir()
    try:
        parts = [source.batches()] if bounds is None else _apart(source, form, folder, bounds)
        found = (batch for part in parts for batch in _sorted(part, form, folder, megabytes))
        with ipc.new_file(str(path), form.schema) as writer:
            for batch in _even(found, form.batch_rows):
                writer.write_batch(batch)
                yield form.unpack(batch)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if source.failure is not None:
            raise source.failure from None
        cause = " ".join(str(error).split())[:200]
        remedy = "give more --memory, or sort the input by entity and order"
        if _FULL in cause:
            remedy = "make room there, or name an output elsewhere"
        raise TableError(f"{path}: the rows can't be sorted there: {cause}; {remedy}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sorted(
    batches: Iterator[pa.RecordBatch], form: Form, folder: Path, megabytes: int
) -> Iterator[pa.RecordBatch]:
    """Batches of the form, sorted by the library."""
    import duckdb

    pieces = Pieces(form.schema, form.features)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{megabytes}MB",
        "threads": 1,
        "temp_directory": str(folder / "spilled"),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute("SET enable_progress_bar = false")
        rows = max(1, _PIECES_AT_ONCE // pieces.count)
        cut = (
            pieces.cut(batch.slice(i, rows))
            for batch in batches
            for i in range(0, len(batch), rows)
        )
        reader = pa.RecordBatchReader.from_batches(pieces.schema, cut)
        connection.register("steps", reader)
        found = connection.sql(_QUERY)
        for batch in found.to_arrow_reader(rows * pieces.count):
            yield pieces.join(batch)


def _apart(
    source: "_Source", form: Form, folder: Path, bounds: pa.Array
) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows of each range, by way of a file of its own."""
    paths = [folder / f"{number}.arrow" for number in range(len(bounds) + 1)]
    with ExitStack() as stack:
        files = [stack.enter_context(ipc.new_file(str(path), form.schema)) for path in paths]
        for batch in source.batches():
            owners = range_of(batch.column("entity"), bounds)
            for number, file in enumerate(files):
                file.write_batch(batch.filter(pa.array(owners == number)))
    for path in paths:
        yield read_part(path)
        path.unlink()


def _even(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of so many, but for the last."""
    rest: list[pa.RecordBatch] = []
    for batch in batches:
        rest.append(batch)
        if sum(map(len, rest)) < rows:
            continue
        whole = pa.concat_batches(rest)
        for start in range(0, len(whole) - rows + 1, rows):
            yield whole.slice(start, rows)
        rest = [whole.slice(len(whole) // rows * rows)]
    if sum(map(len, rest)):
        yield pa.concat_batches(rest)


class _Source:
    """Steps on their way to the library, and what went wrong on it."""

    def __init__(self, blocks: Iterator[Block], form: Form) -> None:
        self._blocks = blocks
        self._form = form
        self.failure: BaseException | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for block in self._blocks:
                yield self._form.pack(block)
        except GeneratorExit:
            # The library wants no more, for a reason of its own.
            raise
        except BaseException as error:
            # The library would tell of it in words of its own.
            self.failure = error
            raise


class SortedSteps:
    """A sorted file, read from any row on."""

    def __init__(self, path: Path, form: Form) -> None:
        """Names the file, which `sort` has written."""
        self._path = path
        self._form = form

    def blocks(self, start: int) -> Iterator[tuple[int, Block]]:
        """Steps from about a position on, and the position of each block's first."""
        with pa.OSFile(str(self._path)) as file:
            reader = ipc.open_file(file)
            # As the file has them: a run that goes on may be of another version than it began.
            rows = len(reader.get_batch(0))
            for index in range(start // rows, reader.num_record_batches):
                yield index * rows, self._form.unpack(reader.get_batch(index))
