"""Rows as a model may see them, and what is wrong with those that it may not.

Owns the form in which steps go from a file to the lanes: keys, float32 numbers, where each row
stands, and its fault. Knows nothing of files' formats, nor what is done about a fault.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.offline.cells import read_cells
from service.offline.columns import Columns, is_text
from service.streams.chunks import Float32

_FINITE = (
    "give a finite float32 number, since anything else would stay in the entity's state for ever"
)
_NO_FEATURES: Float32 = np.empty((0, 0), np.float32)
# Types that NumPy reads where they are.
_AS_THEY_ARE = (pa.float32(), pa.float64())


@dataclass(frozen=True)
class Block:
    """Some steps, in their order.

    Attributes:
        entities: whose each is, none missing, (rows,).
        order: when each was; null where the row has a fault in it.
        features: (rows, features); not finite where the row has a fault in it.
        files, numbers: the file of each row and its number there, told from 1, (rows,).
        columns: name of the column that makes a row unfit; null for a good row.
        problems: what is wrong with it.
    """

    entities: pa.Array
    order: pa.Array
    features: Float32
    files: NDArray[np.int32]
    numbers: NDArray[np.int64]
    columns: pa.Array
    problems: pa.Array

    def __len__(self) -> int:
        return len(self.features)

    def slice(self, start: int, stop: int) -> "Block":
        """Some of the rows, sharing their memory."""
        count = stop - start
        return Block(
            self.entities.slice(start, count),
            self.order.slice(start, count),
            self.features[start:stop],
            self.files[start:stop],
            self.numbers[start:stop],
            self.columns.slice(start, count),
            self.problems.slice(start, count),
        )

    def where(self, mask: NDArray[np.bool_]) -> "Block":
        """The rows for which the mask is true, copied; all of them as they are."""
        if mask.all():
            return self
        kept = pa.array(np.flatnonzero(mask))
        return Block(
            self.entities.take(kept),
            self.order.take(kept),
            self.features[mask],
            self.files[mask],
            self.numbers[mask],
            self.columns.take(kept),
            self.problems.take(kept),
        )

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which rows have no fault, (rows,)."""
        return flags(self.columns.is_null())

    def with_faults(self, bad: NDArray[np.bool_], column: str, problems: pa.Array) -> "Block":
        """The same rows, of which some have a fault that they had not before.

        Args:
            bad: which rows, (rows,).
            column: where their fault is.
            problems: what it is, one a row that is bad.
        """
        if not bad.any():
            return self
        mask = pa.array(bad)
        return Block(
            self.entities,
            self.order,
            self.features,
            self.files,
            self.numbers,
            pc.if_else(mask, column, self.columns),
            pc.replace_with_mask(self.problems, mask, problems.cast(pa.string())),
        )


class Gathering:
    """Blocks on their way to be one; features are copied as they come, so that they are held once.

    Attributes:
        room: most rows, unless a single block has more.
        rows: gathered so far.
    """

    def __init__(self, room: int) -> None:
        """Holds nothing yet."""
        self.room = room
        self.rows = 0
        self._blocks: list[Block] = []
        self._features = _NO_FEATURES

    def add(self, block: Block) -> None:
        """Puts a block behind the others; there has to be room."""
        first, self.rows = self.rows, self.rows + len(block)
        if len(block) < self.room:
            if first == 0:
                self._features = np.empty((self.room, block.features.shape[1]), np.float32)
            self._features[first : self.rows] = block.features
            block = _without_features(block, self._features[first : self.rows])
        self._blocks.append(block)

    def take(self) -> Block:
        """All that was gathered, at least a block, as one; nothing is held then."""
        blocks, rows, features = self._blocks, self.rows, self._features
        self._blocks, self.rows, self._features = [], 0, _NO_FEATURES
        if len(blocks) == 1:
            return blocks[0]
        keys = [(one.entities, one.order, one.columns, one.problems) for one in blocks]
        places = [(one.files, one.numbers) for one in blocks]
        entities, order, columns, problems = map(pa.concat_arrays, zip(*keys, strict=True))
        files, numbers = map(np.concatenate, zip(*places, strict=True))
        return Block(entities, order, features[:rows], files, numbers, columns, problems)


def _without_features(block: Block, instead: Float32) -> Block:
    """A block with features elsewhere; the others may share one buffer with its own, so copies."""
    arrays = (block.entities, block.order, block.columns, block.problems)
    # Arrow copies nothing where there is but one array.
    entities, order, columns, problems = (
        pa.concat_arrays([one.slice(0, 0), one]) for one in arrays
    )
    files, numbers = block.files.copy(), block.numbers.copy()
    return Block(entities, order, instead, files, numbers, columns, problems)


def make_block(
    batch: pa.RecordBatch, columns: Columns, order_type: pa.DataType, file: int, first: int
) -> Block:
    """Checks some rows of a file.

    Rows without an entity are left out: they are told of when a file is looked through.

    Args:
        batch: the columns, as the file has them.
        columns: their names.
        order_type: what the order is to be.
        file: number of the file.
        first: number of the batch's first row, from 0.
    """
    numbers = np.arange(first + 1, first + 1 + len(batch))
    entities = plain(batch.column(columns.entity))
    if entities.null_count or pa.types.is_floating(entities.type):
        there = flags(pc.is_valid(entities)) & ~missing(entities)
        if not there.all():
            batch, numbers = batch.filter(pa.array(there)), numbers[there]
            entities = plain(batch.column(columns.entity))
    count = len(batch)
    nothing = pa.nulls(count, pa.string())
    order, _ = read_cells(plain(batch.column(columns.order)), order_type)
    features = np.empty((count, len(columns.features)), np.float32)
    for index, name in enumerate(columns.features):
        column = plain(batch.column(name))
        kind = column.type if column.type in _AS_THEY_ARE else pa.float64()
        values, _ = read_cells(column, kind)
        # Too large for float32 becomes infinity, which is a fault.
        with np.errstate(over="ignore"):
            features[:, index] = values.to_numpy(zero_copy_only=False)
    block = Block(
        entities, order, features, np.full(count, file, np.int32), numbers, nothing, nothing
    )
    return _with_faults(block, batch, columns)


def plain(column: pa.Array) -> pa.Array:
    """A column without its dictionary, in a type that everything can be done with."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column


def flags(array: pa.Array) -> NDArray[np.bool_]:
    """Booleans of Arrow as NumPy's; null counts as false."""
    filled: NDArray[np.bool_] = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
    return filled


def missing(array: pa.Array) -> NDArray[np.bool_]:
    """Which values are not there, NaN included."""
    return flags(pc.is_null(array, nan_is_null=True))


def _with_faults(block: Block, batch: pa.RecordBatch, columns: Columns) -> Block:
    finite = np.isfinite(block.features)
    if not finite.all():
        # From the last column to the first, so that the first one stays.
        for index in reversed(np.flatnonzero(~finite.all(axis=0)).tolist()):
            bad, name = ~finite[:, index], columns.features[index]
            block = block.with_faults(
                bad, name, _told(plain(batch.column(name)).filter(pa.array(bad)), _FINITE)
            )
    lost = missing(block.order)
    if lost.any():
        cells = plain(batch.column(columns.order)).filter(pa.array(lost))
        block = block.with_faults(
            lost, columns.order, _told(cells, "fill it in, or leave the row out")
        )
    return block


def _told(cells: pa.Array, remedy: str) -> pa.Array:
    """What is wrong with each cell."""
    quoted = is_text(cells.type)

    def tell(value: object) -> str:
        shown = "missing" if value is None else repr(value) if quoted else str(value)
        return f"is {shown}; {remedy}"

    return pa.array([tell(value) for value in cells.to_pylist()], pa.string())
