"""From a file of states to a store, so that live streams resume where a score has ended.

Owns the way of each state: a stream whose id is the entity's key as text, kept as the service keeps
its own. Knows nothing of scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from protos.statewise.v1.state_pb2 import Kept
from service.durability import blob
from service.errors import SettingsError, TableError
from service.offline import states
from service.stores.opening import open_store
from service.stores.store import Record, Store

_BATCH = 1_024
# A load fills the store; what bounds it is the server's own setting.
_MOST_BYTES = 2**40


@dataclass
class Loaded:
    """What was done.

    Attributes:
        loaded: states that are in the store now.
        refused: ids under which a stream is kept already, which are left as they are.
        first_refused: one of them.
    """

    loaded: int = 0
    refused: int = 0
    first_refused: str = ""

    def __str__(self) -> str:
        """A line for people."""
        line = f"loaded {self.loaded:,} states"
        if self.refused:
            line += (
                f"; {self.refused:,} streams are kept there already, {self.first_refused!r} the "
                "first, and were left as they are: --replace overwrites them"
            )
        return line


async def load(path: Path, url: str, *, owner: str, overwrite: bool) -> Loaded:
    """Loads a file of states into a store.

    Args:
        path: what `score --state-out` has written.
        url: of the store.
        owner: identity that may resume the streams; "" without authentication.
        overwrite: whether streams that are kept there begin anew with these states.

    Raises:
        TableError: the file can't be read, or holds no states.
        SettingsError: the store can't outlive this command, or can't be opened.
        InvalidArgument: a state is no blob.
        Unavailable: the store can't be reached.
    """
    states.check(path, _any(path))
    store = open_store(url, _MOST_BYTES)
    try:
        if not store.durable:
            raise SettingsError(
                f"state_store is {url!r}, which ends with this command; take another"
            )
        found = Loaded()
        for records in _records(path, owner):
            for record in records:
                await _put(store, record, found, overwrite=overwrite)
        return found
    finally:
        await store.close()


async def _put(store: Store, record: Record, found: Loaded, *, overwrite: bool) -> None:
    claim = await store.begin(record)
    if not claim.epoch and overwrite:
        # Fences whoever has the stream open now.
        claim = await store.claim(record.stream_id, record.owner)
        written = claim.epoch and await store.write([replace(record, epoch=claim.epoch)])
        if not (written and written[0]):
            claim = replace(claim, epoch=0)
    if claim.epoch:
        found.loaded += 1
    else:
        found.refused += 1
        found.first_refused = found.first_refused or record.stream_id


def _any(path: Path) -> pa.Schema:
    """The keys of a file, whatever their types are."""
    try:
        found = parquet.read_schema(path)
        return states.schema(found.field("entity").type, found.field("order").type)
    except (OSError, KeyError, pa.ArrowException):
        # What is wrong with it, the check says.
        return states.schema(pa.string(), pa.int64())


def _records(path: Path, owner: str) -> Iterator[Sequence[Record]]:
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(_BATCH, columns=["entity", "state"]):
            names = batch.column("entity").cast(pa.string()).to_pylist()
            blobs = batch.column("state").to_pylist()
            yield [_record(path, *pair, owner) for pair in zip(names, blobs, strict=True)]


def _record(path: Path, name: str, data: bytes, owner: str) -> Record:
    if not name:
        raise TableError(f"{path}: an entity has no name, so that no stream can; leave it out")
    snapshot = blob.decode(data)
    return Record(
        stream_id=name,
        epoch=0,
        owner=owner,
        model=snapshot.model,
        version=snapshot.version,
        sequence=0,
        steps=snapshot.steps,
        payload=Kept(state=data).SerializeToString(),
    )
