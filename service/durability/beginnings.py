"""What a stream begins with: the model whose state it is, a state that was brought, a first record.

Owns the steps that a new stream, an import and a resume share. Who may take them, and what a stream
is then told, is `kept`'s affair.
"""

from protos.statewise.v1.state_pb2 import Kept
from service.durability import blob, snapshots
from service.durability.copies import Copy
from service.durability.keeping import Keeper
from service.durability.openings import Opening, is_kept
from service.durability.snapshots import Snapshot
from service.errors import Unavailable, shorten, stopping, unloaded
from service.models.served import Models, ServedModel
from service.stores.store import Claim, Record
from service.streams.live import Stream
from service.streams.seam import Streams


class Beginnings:
    """First states and first records."""

    def __init__(self, models: Models, streams: Streams, keeper: Keeper) -> None:
        """Works on what is served and kept."""
        self._models = models
        self._streams = streams
        self._keeper = keeper

    async def store_first(
        self,
        model: ServedModel,
        stream_id: str,
        owner: str,
        snapshot: Snapshot | None,
        *,
        replace: bool,
    ) -> Claim:
        """Stores the first record of a new stream.

        Raises:
            AlreadyExists: one is kept under that id.
            Unavailable: the store can't be reached.
        """
        payload = b""
        if snapshot is not None:
            kept = Kept(state=blob.encode(snapshot, self._keeper.key))
            payload = kept.SerializeToString()
        steps = snapshot.steps if snapshot is not None else 0
        record = Record(stream_id, 0, owner, model.name, str(model.version), 0, steps, payload)
        claim = await self._keeper.begin(record)
        old = claim.record
        if not claim.epoch and old is not None and old.owner == owner:
            # Nobody has used it, and nobody else can have it live.
            unused = not old.sequence and not old.payload and not self._keeper.store.shared
            if replace or unused:
                claim = await self._keeper.replace(record)
        if not claim.epoch:
            raise is_kept(stream_id)
        return claim

    def started(self, model: ServedModel, stream_id: str, snapshot: Snapshot | None) -> Stream:
        """Opens a stream that was admitted, in a given state or the model's initial one.

        Raises:
            Exhausted: the model has no stream free.
            NotFound, Unavailable: the model was unloaded, or the server is stopping.
        """
        row = snapshots.packed_row(snapshot, model) if snapshot is not None else None
        if self._streams.draining:
            raise stopping()
        if self._models.find(model.name, str(model.version)) is not model:
            # It was unloaded while the store was asked.
            raise unloaded(model.name, model.version)
        stream = self._streams.add(model, stream_id)
        if row is not None and snapshot is not None:
            model.arena.write(stream.slot, row)
            stream.steps = snapshot.steps
        return stream

    def roomy(self, opening: Opening) -> ServedModel:
        """The model of a new stream, asked before the store, which would give up what is replaced.

        Raises:
            NotFound, AlreadyExists, InvalidArgument, Unavailable: it may not be opened.
            Exhausted: the model has no stream free.
        """
        model = self._streams.admit(opening.model, opening.version, opening.stream_id)
        model.arena.slots.check_room()
        return model

    def given(self, opening: Opening, model: ServedModel) -> Snapshot | None:
        """The state that a caller brings, checked."""
        if not opening.initial_state:
            return None
        snapshot = blob.decode(opening.initial_state, self._keeper.key, self._keeper.previous)
        snapshots.packed_row(snapshot, model)
        return snapshot

    def blob_of(self, copy: Copy) -> bytes:
        """The state of a stream for its owner, signed where there is a key."""
        return blob.encode(copy.snapshot, self._keeper.key)

    def model_of(self, snapshot: Snapshot) -> ServedModel:
        """The served version whose weights made a state.

        Raises:
            Unavailable: there is none here.
        """
        for model in reversed(self._models.versions(snapshot.model)):
            if model.artifact.digest == snapshot.digest:
                return model
        raise Unavailable(
            f"the state is of model {shorten(snapshot.model)} with content "
            f"{shorten(snapshot.digest)}, which this server does not serve; try one that does",
            reason="MODEL_NOT_SERVED",
            retry_after=1.0,
            content_digest=shorten(snapshot.digest),
        )
