"""What is done with streams from outside of their calls: export, import, fork, close, list.

Owns these operations over live and kept streams alike. Knows nothing of gRPC.
"""

import heapq
from dataclasses import dataclass
from dataclasses import replace as replace_fields

from service.durability import blob, snapshots
from service.durability.kept import KeptStreams
from service.durability.openings import not_there, parsed
from service.durability.snapshots import Snapshot
from service.errors import Gone, InvalidArgument, ServiceError, shorten
from service.models.served import Models
from service.stores.store import Fate, Record
from service.streams.live import Stream
from service.streams.seam import Streams, new_id

_PAGE, _LARGEST_PAGE = 100, 1_000


@dataclass(frozen=True)
class Summary:
    """A stream in a list.

    Attributes:
        sequence, steps: chunks and steps that it has taken.
        live: whether a call on this server has it.
        stored_ms: when its state was stored, in milliseconds since 1970; 0 where it was not.
    """

    stream_id: str
    model: str
    version: str
    sequence: int
    steps: int
    live: bool
    owner: str
    stored_ms: int = 0


@dataclass(frozen=True)
class Exported:
    """A blob, and the stream whose state it is."""

    state: bytes
    stream: Summary


class Operations:
    """Streams, seen from outside of their calls."""

    def __init__(self, models: Models, streams: Streams, kept: KeptStreams) -> None:
        """Works on what is live here and what is kept."""
        self._models = models
        self._streams = streams
        self._kept = kept

    async def export(self, stream_id: str, owner: str) -> Exported:
        """The state of a stream between two of its chunks; a live one goes on.

        Raises:
            NotFound: no such stream of this owner.
            Unavailable: the store can't be reached.
        """
        live = self._live(stream_id, owner)
        if live is not None:
            copy = await self._kept.copy(live)
            summary = replace_fields(_of_live(live), sequence=copy.sequence, steps=copy.steps)
            return Exported(self._kept.beginnings.blob_of(copy), summary)
        record = await self._record(stream_id, owner)
        return Exported(self._state(record), _of_record(record))

    async def keep(
        self, state: bytes, stream_id: str, owner: str, *, replace: bool = False
    ) -> Summary:
        """Keeps a blob under an id, for a resume.

        Raises:
            InvalidArgument: the blob is no state of a model that is served here.
            AlreadyExists: the id is in use.
            Unavailable: the store can't be reached, or the server is stopping.
        """
        snapshot = blob.decode(state, self._kept.keeper.key, self._kept.keeper.previous)
        model = self._kept.beginnings.model_of(snapshot)
        snapshots.packed_row(snapshot, model)
        version, named = str(model.version), stream_id or new_id()

        async def keep() -> None:
            self._streams.admit(model.name, version, stream_id)
            await self._kept.beginnings.keep(model, named, owner, snapshot, replace=replace)

        await self._kept.turns.take(named, keep)
        return Summary(named, model.name, version, 0, snapshot.steps, False, owner)

    async def fork(self, stream_id: str, new_stream_id: str, owner: str) -> Summary:
        """Keeps the state of one stream under another id as well.

        Raises:
            NotFound, AlreadyExists, Unavailable: as in `export` and `keep`.
        """
        if stream_id == new_stream_id:
            raise InvalidArgument(
                f"new_stream_id is {shorten(new_stream_id)!r}, the stream itself; take another",
                reason="FORK_ITSELF",
            )
        exported = await self.export(stream_id, owner)
        return await self.keep(exported.state, new_stream_id, owner)

    async def close(
        self, stream_id: str, owner: str, *, return_state: bool = False
    ) -> tuple[int, bytes]:
        """Ends a stream; returns the steps that it took, and its state where it is asked for.

        Raises:
            NotFound: no such stream of this owner.
            Unavailable: the store can't be reached, or the stream is being opened or closed.
        """

        async def close() -> tuple[int, bytes]:
            live = self._live(stream_id, owner)
            if live is not None:
                closed = await self._close_live(live, return_state=return_state)
                if closed is not None:
                    return closed
            known = live is not None
            return await self._close_kept(stream_id, owner, known, return_state=return_state)

        return await self._kept.turns.take(stream_id, close)

    async def _close_live(self, live: Stream, *, return_state: bool) -> tuple[int, bytes] | None:
        """None where it is no longer the stream: that was left meanwhile, or goes on elsewhere."""
        live.end(Gone(f"stream {live.id!r} was closed by its owner", reason="STREAM_CLOSED"))
        try:
            copy = await self._kept.copy(live)
        except ServiceError:
            return None
        if self._streams.get(live.id) is not live:
            return None
        state = self._kept.beginnings.blob_of(copy) if return_state else b""
        removal = self._kept.close(live)
        if removal is not None and not await self._kept.keeper.removed(removal):
            return None
        return live.steps, state

    async def _close_kept(
        self, stream_id: str, owner: str, known: bool, *, return_state: bool
    ) -> tuple[int, bytes]:
        """Ends a stream that is not live here; where it is live elsewhere, that is fenced.

        An owner who is known to have had it is told what became of it.
        """
        claim = await self._kept.keeper.claim(stream_id, owner)
        record = claim.record
        if not claim.epoch or record is None:
            raise not_there(stream_id, claim.fate if known else Fate.UNKNOWN)
        state = self._state(record) if return_state else b""
        await self._kept.keeper.removed(self._kept.keeper.forget(stream_id, claim.epoch))
        return record.steps, state

    async def page(self, after: str, limit: int, owner: str | None) -> tuple[list[Summary], str]:
        """Streams by id, those behind `after`; of one owner unless it is None.

        Args:
            after: id of the last one of the page before; "" for the first.
            limit: how many at most; 0 leaves it to the server.
            owner: identity whose streams are listed.

        Returns:
            The streams, and the id behind which the next page begins; "" where there is none.

        Raises:
            Unavailable: the store can't be reached.
        """
        limit = min(limit, _LARGEST_PAGE) or _PAGE
        records = await self._kept.keeper.page(after, limit, owner)
        found = {record.stream_id: _of_record(record) for record in records}
        for stream in self._streams:
            if stream.id > after and owner in (None, _owner(stream)):
                stored = found[stream.id].stored_ms if stream.id in found else 0
                found[stream.id] = _of_live(stream, stored)
        names = heapq.nsmallest(limit, found)
        return [found[name] for name in names], names[-1] if len(names) == limit else ""

    def _live(self, stream_id: str, owner: str) -> Stream | None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.ended is not None:
            return None
        if _owner(stream) != owner:
            raise not_there(stream_id, Fate.UNKNOWN)
        return stream

    async def _record(self, stream_id: str, owner: str) -> Record:
        record = await self._kept.keeper.read(stream_id)
        if record is None or record.owner != owner:
            raise not_there(stream_id, Fate.UNKNOWN)
        return record

    def _state(self, record: Record) -> bytes:
        """The blob of a record; one without is in its model's initial state."""
        kept = parsed(record)
        if kept.state:
            return kept.state
        model = self._models.find(record.model, record.version)
        initial: Snapshot = snapshots.take(model, model.signature.initial_row(), 0)
        return blob.encode(initial, self._kept.keeper.key)


def _owner(stream: Stream) -> str:
    return stream.keeping.owner if stream.keeping is not None else ""


def _of_live(stream: Stream, stored_ms: int = 0) -> Summary:
    model = stream.model
    return Summary(
        stream.id,
        model.name,
        str(model.version),
        stream.expected - 1,
        stream.steps,
        True,
        _owner(stream),
        stored_ms,
    )


def _of_record(record: Record) -> Summary:
    return Summary(
        record.stream_id,
        record.model,
        record.version,
        record.sequence,
        record.steps,
        False,
        record.owner,
        record.stored_ms,
    )
