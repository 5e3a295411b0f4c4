"""Rows too wide for the library that sorts, cut into pieces that it can hold.

Owns the form of the pieces. A merge of the library holds 122,880 rows at once, whatever their
width; pieces of a row stand behind each other when they are sorted by their number last.
"""

import numpy as np
import pyarrow as pa

PIECE = "piece"
# Features of a piece.
WIDTH = 32


def pieces(features: int) -> int:
    """How many a row of so many features is cut into."""
    return max(1, -(-features // WIDTH))


class Pieces:
    """Batches with a column of `features`, bytes, as batches of pieces and back.

    Attributes:
        count: pieces of each row.
        schema: of a batch of pieces.
    """

    def __init__(self, schema: pa.Schema, features: int) -> None:
        """Takes the schema of whole rows, and how many float32 features each has."""
        self._whole = schema
        self._features = features
        self._place = schema.get_field_index("features")
        self.count = pieces(features)
        self.schema = schema.append(pa.field(PIECE, pa.int32()))

    def cut(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows as pieces; the last of a row is filled up with zeros."""
        rows, width = len(batch), WIDTH if self.count > 1 else self._features
        filled = np.zeros((rows, self.count * width), np.float32)
        filled[:, : self._features] = numbers(batch.column(self._place), self._features)
        owners = pa.array(np.repeat(np.arange(rows), self.count))
        arrays = [column.take(owners) for column in batch.drop_columns(["features"]).columns]
        arrays.insert(self._place, binary(filled.reshape(rows * self.count, width)))
        arrays.append(pa.array(np.tile(np.arange(self.count, dtype=np.int32), rows)))
        return pa.record_batch(arrays, schema=self.schema)

    def join(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Whole rows of sorted pieces, all of each row's."""
        width = WIDTH if self.count > 1 else self._features
        filled = numbers(batch.column(self._place), width).reshape(
            len(batch) // self.count, self.count * width
        )
        firsts = pa.array(np.arange(0, len(batch), self.count))
        arrays = [
            binary(filled[:, : self._features])
            if index == self._place
            else batch.column(index).take(firsts).cast(field.type)
            for index, field in enumerate(self._whole)
        ]
        return pa.record_batch(arrays, schema=self._whole)


def binary(values: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> pa.Array:
    """Numbers, (rows, width), as the bytes of each row, (rows,)."""
    rows, width = values.shape
    ends = np.arange(rows + 1, dtype=np.int32) * (4 * width)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.binary(), rows, buffers)


def numbers(cells: pa.Array, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The numbers, (rows, width), of the bytes of each row, sharing their memory."""
    _, ends, data = cells.buffers()
    start = int(np.frombuffer(ends, np.int32, 1, 4 * cells.offset)[0])
    found = np.frombuffer(data, np.float32, len(cells) * width, start)
    return found.reshape(len(cells), width)
