"""The seam of streams that outlive their calls: open and resume, leave, close.

Owns what a resume finds and what it is refused for, the claim that every open takes, and that one
call at a time has a stream: a resume takes a live stream over, and the call before is told. When
and how states are written is the keeper's affair. Knows nothing of gRPC.
"""

import logging

from service.durability import blob
from service.durability.beginnings import Beginnings
from service.durability.copies import Copy, copy_at_rest
from service.durability.keeping import Keeper
from service.durability.openings import (
    BEGIN_ANEW,
    Opened,
    Opening,
    Resume,
    check_model,
    check_resume,
    is_kept,
    kept_results,
    not_there,
    outputs_of,
    parsed,
    wanted,
)
from service.durability.removals import Removal
from service.durability.snapshots import Snapshot
from service.durability.turns import Turns
from service.errors import InvalidArgument, ServiceError, Unavailable, shorten, stopping
from service.metrics import Metrics
from service.models.served import Models, ServedModel
from service.stores.store import Fate
from service.streams.live import Keeping, Stream, idle, new_id, note, taken_over
from service.streams.seam import Streams


class KeptStreams:
    """Streams, with a store behind them."""

    def __init__(self, models: Models, streams: Streams, keeper: Keeper, metrics: Metrics) -> None:
        """Takes over what becomes of streams without their calls."""
        self._models = models
        self._streams = streams
        self._metrics = metrics
        self.keeper = keeper
        self.beginnings = Beginnings(models, streams, keeper)
        self.turns = Turns()
        streams.on_taken, streams.on_closed = keeper.taken, keeper.let_go
        streams.part = self._part
        keeper.on_fenced = self._fenced

    @property
    def durable(self) -> bool:
        """Whether kept states outlive this process."""
        return self.keeper.store.durable

    async def open(self, opening: Opening) -> Opened:
        """Opens a new stream, or goes on with one that is live or kept.

        Raises:
            NotFound: no such model, version or stream.
            AlreadyExists: the id is in use.
            Gone: the stream was there: it was closed, has expired, or its caller has less of it
                than is needed.
            Exhausted: the model has no stream free.
            InvalidArgument: the id, or the state to begin with, is refused.
            Unavailable: the server is stopping, or its store can't be reached.
        """
        try:
            if opening.resume is None:
                # A crowd that there is no room for costs the less, the sooner it is told.
                self.beginnings.roomy(opening)
            return await self.turns.take(
                opening.stream_id,
                lambda: self._open(opening),
                abandoned=lambda opened: self.leave(opened.stream),
            )
        except ServiceError as error:
            self._metrics.refused_open(error.reason)
            raise

    def leave(self, stream: Stream) -> None:
        """The call is over without a word: keeps the stream, or ends one that is not kept."""
        if stream.ended is not None:
            return  # Whoever ended it has seen to it.
        if stream.keeping is None:
            self._streams.close(stream)
        elif stream.busy:
            stream.on_idle.append(lambda: self.leave(stream))
        else:
            self._store_and_close(stream)

    def close(self, stream: Stream) -> Removal | None:
        """Ends a stream here, and in the store where it is kept: that is under way then."""
        removal = None
        if self._streams.get(stream.id) is stream and stream.keeping is not None:
            removal = self.keeper.forget(stream.id, stream.keeping.epoch)
        self._streams.close(stream)
        return removal

    def leave_all(self) -> None:
        """Keeps every stream that another server can go on with, and tells their calls."""
        self._streams.refuse()
        if not self.durable:
            return
        for stream in self._streams:
            if stream.keeping is not None:
                self.send_away(stream, stopping(), "drained")

    def send_away(self, stream: Stream, reason: ServiceError, counted: str) -> None:
        """Keeps a stream as soon as it is idle, and tells its call why; it is `counted` as that.

        One that has taken no chunk is kept too: its caller was told that it is open. One that is
        ephemeral ends.
        """
        if self._streams.get(stream.id) is not stream or stream.ended is not None:
            return
        if stream.busy:
            stream.on_idle.append(lambda: self.send_away(stream, reason, counted))
            return
        if stream.keeping is not None:
            self.keeper.leave(stream)
        self._streams.close(stream)
        self._metrics.ended(counted)
        stream.end(reason)

    async def copy(self, stream: Stream) -> Copy:
        """An open stream, as it is when the chunk under way is done.

        Raises:
            Gone: it was closed meanwhile, or its chunk failed.
        """

        def is_there() -> bool:
            found = self._streams.get(stream.id)
            return found is not None and found.slot == stream.slot

        copy = await copy_at_rest(stream, is_there)
        if copy is None:
            raise stream.ended or not_there(stream.id, Fate.CLOSED)
        return copy

    async def _open(self, opening: Opening) -> Opened:
        if opening.ephemeral:
            return await self._ephemeral(opening)
        if opening.resume is None:
            return await self._begin(opening)
        return await self._resume(opening, opening.resume)

    async def _part(self, stream: Stream) -> None:
        """Keeps a stream that has ended here, so that it goes on where its model is served."""
        if stream.keeping is not None:
            await idle(stream)
        self._store_and_close(stream)

    def _store_and_close(self, stream: Stream) -> None:
        """Stores an idle stream, if it is still here, and gives its slot back."""
        if self._streams.get(stream.id) is not stream:
            return
        if stream.keeping is not None and stream.expected > 1:
            self.keeper.leave(stream)
        # Otherwise what it began with is what the store has of it.
        self._streams.close(stream)

    def _fenced(self, stream: Stream) -> None:
        note(stream, "goes on at another server, which has claimed it", logging.INFO)
        self._streams.close(stream)

    async def _ephemeral(self, opening: Opening) -> Opened:
        if opening.resume is not None:
            raise InvalidArgument(
                "an ephemeral stream can't be resumed; leave ephemeral or resume out",
                reason="EPHEMERAL_RESUME",
            )
        model = self.beginnings.roomy(opening)
        snapshot = self.beginnings.given(opening, model)
        if opening.stream_id and await self.keeper.read(opening.stream_id) is not None:
            raise is_kept(opening.stream_id)
        stream = self.beginnings.started(model, opening.stream_id or new_id(), snapshot)
        stream.owner = opening.owner
        return Opened(stream)

    async def _begin(self, opening: Opening) -> Opened:
        stream_id = opening.stream_id or new_id()
        model = self.beginnings.roomy(opening)
        snapshot = self.beginnings.given(opening, model)
        claim = await self.beginnings.store_first(
            model, stream_id, opening.owner, snapshot, replace=opening.replace
        )
        try:
            return Opened(self._claimed(model, stream_id, opening.owner, claim.epoch, snapshot))
        except ServiceError:
            # It never was: whoever asks for it is told what was true before.
            self.keeper.forget(stream_id, claim.epoch, claim.fate)
            raise

    async def _resume(self, opening: Opening, resume: Resume) -> Opened:
        live = self._streams.get(opening.stream_id)
        if live is not None:
            return await self._take_over(live, opening, resume)
        claim = await self.keeper.claim(opening.stream_id, opening.owner)
        record = claim.record
        if not claim.epoch or record is None:
            if claim.fate in BEGIN_ANEW and resume.replay_from == 1:
                return await self._begin(opening)
            raise not_there(opening.stream_id, claim.fate)
        kept = parsed(record)
        snapshot = (
            blob.decode(kept.state, self.keeper.key, self.keeper.previous) if kept.state else None
        )
        model = (
            self._models.find(record.model, record.version)
            if snapshot is None
            else self.beginnings.model_of(snapshot)
        )
        check_model(opening, model)
        check_resume(resume, record.sequence, [one.sequence for one in kept.results])
        stream = self._claimed(model, record.stream_id, record.owner, claim.epoch, snapshot)
        assert stream.keeping is not None
        stream.expected = record.sequence + 1
        stream.keeping.stored = record.sequence
        stream.keeping.durable = record.sequence if self.durable else 0
        for one in kept.results:
            stream.keeping.add(one.sequence, outputs_of(one))
        self._metrics.states.resumed(taken_over=False)
        note(stream, "is resumed", logging.INFO)
        changed = snapshot is not None and snapshot.fingerprint != model.self_test.fingerprint
        return Opened(stream, True, changed, tuple(wanted(kept.results, resume)))

    async def _take_over(self, live: Stream, opening: Opening, resume: Resume) -> Opened:
        """Gives a live stream to another call of its owner."""
        keeping = live.keeping
        if keeping is None:
            raise await self._hidden(opening)
        if live.owner != opening.owner:
            raise not_there(opening.stream_id, Fate.UNKNOWN)
        if live.ended is not None:
            raise live.ended
        check_model(opening, live.model)
        # The call before takes no further chunk; the one under way is taken whole.
        live.end(taken_over(live.id))
        await idle(live)
        try:
            if not await self._reclaimed(live, keeping):
                return await self._resume(opening, resume)
            results = kept_results(keeping.results)
            check_resume(resume, live.expected - 1, [one.sequence for one in results])
        except ServiceError:
            self._store_and_close(live)
            raise
        heir = self._streams.hand_over(live)
        self.keeper.hold(heir)
        self._metrics.states.resumed(taken_over=True)
        note(heir, "is taken over by another call", logging.INFO)
        return Opened(heir, True, False, tuple(wanted(results, resume)))

    async def _hidden(self, opening: Opening) -> ServiceError:
        """Why a stream can't be had whose id an ephemeral one has here."""
        record = await self.keeper.read(opening.stream_id)
        if record is None or record.owner != opening.owner:
            return not_there(opening.stream_id, Fate.UNKNOWN)
        # It was begun at another server meanwhile, and goes on there, or here when the call ends.
        return Unavailable(
            f"stream_id is {shorten(opening.stream_id)!r}, which a stream that is not kept has at "
            "this server; resume it at another, or try again",
            reason="STREAM_BUSY",
            retry_after=1.0,
        )

    async def _reclaimed(self, live: Stream, keeping: Keeping) -> bool:
        """Claims a stream that is live here; False where what is live is not the stream.

        Where another server has taken it further, the store refuses this state.
        """
        if self._streams.get(live.id) is live:
            self.keeper.leave(live)
        claim = await self.keeper.claim(live.id, live.owner)
        if self._streams.get(live.id) is not live:
            return False  # Fenced, or closed since its chunk failed.
        if claim.record is not None and claim.record.epoch != keeping.epoch:
            self._streams.close(live)
            return False
        keeping.epoch = claim.epoch or keeping.epoch
        return True

    def _claimed(
        self, model: ServedModel, stream_id: str, owner: str, epoch: int, snapshot: Snapshot | None
    ) -> Stream:
        """Opens a stream that was claimed."""
        steps = snapshot.steps if snapshot is not None else 0
        stream = self.beginnings.started(model, stream_id, snapshot)
        stream.keeping, stream.owner = Keeping(epoch, steps=steps), owner
        self.keeper.hold(stream)
        return stream
