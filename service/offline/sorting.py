"""Steps in any company, sorted by entity and order on disk.

Owns the only import of duckdb, the sorted file and its form. Memory is bounded by what it is given;
what does not fit goes to a folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from service.errors import TableError
from service.offline.sortable import restored, sortable, sortable_type
from service.offline.source import batch_rows
from service.offline.steps import Block, missing

# Rows of one entity and order stay as they stood, so that a second run finds them alike.
_QUERY = 'SELECT * FROM steps ORDER BY "entity", "order" NULLS LAST, "file", "number"'


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
        width = 4 * self.features
        ends = np.arange(len(block) + 1, dtype=np.int32) * width
        numbers = pa.py_buffer(np.ascontiguousarray(block.features))
        features = pa.Array.from_buffers(
            pa.binary(), len(block), [None, pa.py_buffer(ends), numbers]
        )
        order = sortable(block.order)
        if pa.types.is_floating(order.type):
            order = pa.array(order, mask=missing(order))
        arrays = [sortable(block.entities), order, pa.array(block.files), pa.array(block.numbers)]
        return pa.record_batch(
            [*arrays, features, block.columns, block.problems], schema=self.schema
        )

    def unpack(self, batch: pa.RecordBatch) -> Block:
        """Steps that were kept."""
        entities, order, files, numbers, features, columns, problems = batch.columns
        _, ends, data = features.buffers()
        start = int(np.frombuffer(ends, np.int32, 1, 4 * features.offset)[0])
        values = np.frombuffer(data, np.float32, len(batch) * self.features, start)
        return Block(
            restored(entities, self.entity),
            restored(order, self.order),
            values.reshape(len(batch), self.features),
            files.to_numpy(),
            numbers.to_numpy(),
            columns,
            problems,
        )


def sort(blocks: Iterator[Block], form: Form, path: Path, megabytes: int) -> Iterator[Block]:
    """Sorts steps into a file; yields them as they are written.

    Args:
        blocks: of any company and order.
        form: of the file.
        path: where the file goes; beside it a folder takes what memory does not.
        megabytes: most memory of the sorting.

    Raises:
        TableError: memory or disk do not suffice.
        Exception: whatever `blocks` raises.
    """
    # Imported here, since sorted input does without.
    import duckdb

    source = _Source(blocks, form)
    folder = path.with_suffix(".sorting")
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{megabytes}MB",
        "threads": 1,
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
    }
    try:
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.register(
                "steps", pa.RecordBatchReader.from_batches(form.schema, source.batches())
            )
            found = connection.sql(_QUERY)
            with ipc.new_file(str(path), form.schema) as writer:
                for batch in found.to_arrow_reader(form.batch_rows):
                    kept = batch.cast(form.schema)
                    writer.write_batch(kept)
                    yield form.unpack(kept)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if source.failure is not None:
            raise source.failure from None
        cause = " ".join(str(error).split())[:200]
        raise TableError(
            f"{path}: the rows can't be sorted there: {cause}; give more --memory, or sort the "
            "input by entity and order"
        ) from None


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
        rows = self._form.batch_rows
        with pa.OSFile(str(self._path)) as file:
            reader = ipc.open_file(file)
            for index in range(start // rows, reader.num_record_batches):
                yield index * rows, self._form.unpack(reader.get_batch(index))
