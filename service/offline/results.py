"""The files that a score leaves: parts put together, each file replaced whole or not at all.

Owns the output's row groups, its metadata and its compression. Knows nothing of how parts were
made.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import ipc, parquet

from service.errors import NoRoom, TableError

# As Parquet's metadata calls codecs, and as its writer does.
_CODECS = {"UNCOMPRESSED": "none", "LZ4_RAW": "lz4"}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Lets the block write a temporary file in the same folder, which then takes the place of path.

    If the block raises, `path` stays as it was. A folder that is missing is made.

    Raises:
        NoRoom: the disk is full.
        TableError: the file can't be written.
    """
    # The same for every run, so that a run that was killed leaves nothing behind the next.
    temporary = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoRoom(
                f"{path}: can't be written: {error.strerror}; make room and go on with --resume, "
                "or name another"
            ) from None
        raise TableError(
            f"{path}: can't be written: {error.strerror or error}; name another"
        ) from None


class TableFile:
    """A Parquet file that grows by batches, each of them a row group."""

    def __init__(
        self,
        file: BinaryIO,
        form: pa.Schema,
        *,
        compression: str = "ZSTD",
        metadata: Mapping[str, str] | None = None,
        repeated: Iterable[str] = (),
    ) -> None:
        """Begins the file.

        Args:
            file: takes it.
            form: its columns.
            compression: codec, as Parquet's metadata calls it.
            metadata: goes into the file's own.
            repeated: columns whose values repeat; dictionaries of others would take four times as
                long.
        """
        self.form = form
        self._writer = parquet.ParquetWriter(
            file,
            form.with_metadata(dict(metadata) if metadata else None),
            compression=_CODECS.get(compression, compression.lower()),
            use_dictionary=list(repeated),
        )

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Appends batches."""
        for batch in batches:
            if len(batch):
                self._writer.write_table(pa.Table.from_batches([batch], self.form))

    def close(self) -> None:
        """Writes the end of the file."""
        self._writer.close()


def read_part(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a part's file."""
    with pa.OSFile(str(path)) as file:
        reader = ipc.open_file(file)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
