"""What is done with streams from outside of their calls: export, import, fork, close, list.

Owns these operations over live and kept streams alike, and that they reach the streams of others
only for whoever may do that; who may, is not known here. Knows nothing of gRPC.
"""

import heapq
import logging
from dataclasses import dataclass
from dataclasses import replace as replace_fields

from service.durability import blob, snapshots
from service.durability.kept import KeptStreams
from service.durability.openings import not_there, parsed
from service.durability.snapshots import Snapshot
from service.errors import Gone, InvalidArgument, ServiceError, shorten
from service.models.served import Models
from service.stores.store import NOBODY, Fate, Record
from service.streams.live import Stream, new_id
from service.streams.seam import Streams

_log = logging.getLogger(__name__)
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

    async def export(self, stream_id: str, owner: str, *, others: bool = False) -> Exported:
        """The state of a stream between two of its chunks; a live one goes on.

        Args:
            stream_id: which.
            owner: identity of the caller.
            others: whether it reaches the streams of other owners as well.

        Raises:
            NotFound: no such stream in its reach.
            Gone: the stream was there: it was closed, has expired, or was given up for others.
            Unavailable: the store can't be reached.
        """
        live = self._live(stream_id, owner, others)
        if live is not None:
            copy = await self._kept.copy(live)
            summary = replace_fields(_of_live(live), sequence=copy.sequence, steps=copy.steps)
            return Exported(self._kept.beginnings.blob_of(copy), summary)
        record = await self._record(stream_id, owner, others)
        return Exported(self._state(record), _of_record(record))

    async def import_state(
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

        async def store() -> None:
            self._streams.admit(model.name, version, stream_id)
            await self._kept.beginnings.store_first(model, named, owner, snapshot, replace=replace)

        await self._kept.turns.take(named, store)
        return Summary(named, model.name, version, 0, snapshot.steps, False, owner)

    async def fork(self, stream_id: str, new_stream_id: str, owner: str) -> Summary:
        """Keeps the state of one stream under another id as well.

        Raises:
            NotFound, AlreadyExists, Unavailable: as in `export` and `import_state`.
        """
        if stream_id == new_stream_id:
            raise InvalidArgument(
                f"new_stream_id is {shorten(new_stream_id)!r}, the stream itself; take another",
                reason="FORK_ITSELF",
            )
        exported = await self.export(stream_id, owner)
        return await self.import_state(exported.state, new_stream_id, owner)

    async def close(
        self, stream_id: str, owner: str, *, others: bool = False, return_state: bool = False
    ) -> tuple[int, bytes]:
        """Ends a stream; returns the steps that it took, and its state where it is asked for.

        Args:
            stream_id: which.
            owner: identity of the caller.
            others: whether it reaches the streams of other owners as well.
            return_state: whether its last state is asked for.

        Raises:
            NotFound: no such stream in its reach.
            Unavailable: the store can't be reached, or the stream is being opened or closed.
        """

        async def close() -> tuple[int, bytes]:
            live = self._live(stream_id, owner, others)
            if live is not None:
                closed = await self._close_live(live, owner, return_state=return_state)
                if closed is not None:
                    return closed
            its_owner = await self._owner_of(stream_id, owner) if others else owner
            known = live is not None
            closed = await self._close_kept(stream_id, its_owner, known, return_state=return_state)
            _note_close(stream_id, its_owner, owner)
            return closed

        return await self._kept.turns.take(stream_id, close)

    async def _close_live(
        self, live: Stream, owner: str, *, return_state: bool
    ) -> tuple[int, bytes] | None:
        """None where it is no longer the stream: that was left meanwhile, or goes on elsewhere."""
        who = "its owner" if live.owner == owner else "an administrator"
        live.end(Gone(f"stream {live.id!r} was closed by {who}", reason="STREAM_CLOSED"))
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
        _note_close(live.id, live.owner, owner)
        return live.steps, state

    async def _owner_of(self, stream_id: str, otherwise: str) -> str:
        """Whose a stream is that is kept."""
        record = await self._kept.keeper.read(stream_id)
        return record.owner if record is not None else otherwise

    async def _close_kept(
        self, stream_id: str, owner: str, known: bool, *, return_state: bool
    ) -> tuple[int, bytes]:
        """Ends a stream that is not live here; where it is live elsewhere, that is fenced.

        An owner who is known to have had it is told what became of it.
        """
        claim = await self._kept.keeper.claim(stream_id, owner)
        record = claim.record
        if not claim.epoch or record is None:
            raise _missing(stream_id, claim.fate if known else Fate.UNKNOWN)
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
            if stream.id > after and owner in (None, stream.owner):
                stored = found[stream.id].stored_ms if stream.id in found else 0
                found[stream.id] = _of_live(stream, stored)
        names = heapq.nsmallest(limit, found)
        return [found[name] for name in names], names[-1] if len(names) == limit else ""

    def _live(self, stream_id: str, owner: str, others: bool) -> Stream | None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.ended is not None:
            return None
        if not others and stream.owner != owner:
            if stream.keeping is None:
                return None  # One of the same id may be kept at another server.
            raise _missing(stream_id, Fate.UNKNOWN)
        return stream

    async def _record(self, stream_id: str, owner: str, others: bool) -> Record:
        record = await self._kept.keeper.read(stream_id)
        if record is None:
            found = await self._kept.keeper.store.claim(stream_id, NOBODY)
            raise _missing(stream_id, found.fate)
        if not others and record.owner != owner:
            raise _missing(stream_id, Fate.UNKNOWN)
        return record

    def _state(self, record: Record) -> bytes:
        """The blob of a record; one without is in its model's initial state."""
        kept = parsed(record)
        if kept.state:
            return kept.state
        model = self._models.find(record.model, record.version)
        initial: Snapshot = snapshots.take(model, model.signature.initial_row(), 0)
        return blob.encode(initial, self._kept.keeper.key)


def _missing(stream_id: str, fate: Fate) -> ServiceError:
    return not_there(stream_id, fate, "a list names the streams that there are")


def _note_close(stream_id: str, its_owner: str, owner: str) -> None:
    """Writes to the log who reached for the stream of another."""
    if its_owner != owner:
        fields = {"stream_id": stream_id, "owner": its_owner, "caller": owner}
        text = "stream %r of caller %r is closed by caller %r"
        _log.info(text, stream_id, its_owner, owner, extra=fields)


def _of_live(stream: Stream, stored_ms: int = 0) -> Summary:
    model = stream.model
    return Summary(
        stream.id,
        model.name,
        str(model.version),
        stream.expected - 1,
        stream.steps,
        True,
        stream.owner,
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
