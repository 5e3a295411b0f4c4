"""The seam: open a stream, push chunks, close it. No transport knows more, and this knows none.

Owns live streams, their ids and the order of their chunks. The state itself lives in the arena, the
batch is made in the batcher; what becomes of a stream without its call is `kept`'s affair.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from service.errors import InvalidArgument, ModelFault, ServiceError, stopping, unloaded
from service.metrics import Metrics
from service.models.served import Models, ServedModel
from service.settings import Settings
from service.streams.chunks import Chunk, Float32, decode
from service.streams.live import Stream, check_id, gap, is_open, new_id, note, untimely
from service.streams.stepping import packed
from service.tensors import Array
from service.tick.ready import Buffer, Ready


class Streams:
    """All live streams of this server."""

    def __init__(self, models: Models, settings: Settings, metrics: Metrics) -> None:
        """Starts without streams."""
        self._models = models
        self._metrics = metrics
        self._max_id_length = settings.max_id_length
        self._live: dict[str, Stream] = {}
        self._opens = 0
        # Set once the last stream of an unloaded model has closed.
        self._evictions: dict[int, asyncio.Event] = {}
        self._draining = False
        self._emptied = asyncio.Event()
        # Told of each chunk of a kept stream that was taken, with its outputs.
        self.on_taken: Callable[[Stream, int, Array], None] = lambda *_: None
        # Told of each stream that has closed, before its slot can be another's.
        self.on_closed: Callable[[Stream], None] | None = None
        # What becomes of a stream whose model is unloaded, once it was told.
        self.part: Callable[[Stream], Awaitable[object]] = self._close_now

    @property
    def draining(self) -> bool:
        """Whether this server is on its way out."""
        return self._draining

    @property
    def live(self) -> int:
        """Number of open streams."""
        return len(self._live)

    def __iter__(self) -> Iterator[Stream]:
        """The open streams."""
        return iter(list(self._live.values()))

    def get(self, stream_id: str) -> Stream | None:
        """An open stream."""
        return self._live.get(stream_id)

    def open(self, model: str, version: str = "", stream_id: str = "") -> Stream:
        """Opens a stream in the model's initial state.

        Args:
            model: its name.
            version: empty for the newest.
            stream_id: empty for a new one.

        Raises:
            NotFound: no such model or version.
            AlreadyExists: a live stream has this id.
            Exhausted: the model has no stream free.
            InvalidArgument: the id is too long.
            Unavailable: the server is stopping.
        """
        try:
            return self.add(self.admit(model, version, stream_id), stream_id)
        except ServiceError as error:
            self._metrics.refused_open(error.reason)
            raise

    def admit(self, model: str, version: str, stream_id: str) -> ServedModel:
        """The model that a new stream would run on, if it may be opened.

        Raises:
            NotFound, AlreadyExists, InvalidArgument, Unavailable: as in `open`.
        """
        if self._draining:
            raise stopping()
        served = self._models.find(model, version)
        check_id(stream_id, self._max_id_length)
        if stream_id in self._live:
            raise is_open(stream_id)
        if not served.signature.states:
            raise InvalidArgument(
                f"model {served.name} keeps no state; ask it by the Open Inference Protocol",
                reason="MODEL_STATELESS",
            )
        return served

    def add(self, model: ServedModel, stream_id: str = "") -> Stream:
        """Opens a stream that was admitted.

        Raises:
            AlreadyExists: a live stream has this id, since a moment ago.
            Exhausted: the model has no stream free.
        """
        if stream_id in self._live:
            raise is_open(stream_id)
        slot = model.arena.acquire()
        self._opens += 1
        stream = Stream(stream_id or new_id(), self._opens, model, slot)
        self._live[stream.id] = stream
        self._emptied.clear()
        model.metrics.opened.inc()
        note(stream, "is open")
        return stream

    def hand_over(self, stream: Stream) -> Stream:
        """Gives a stream that is idle, and has ended for one call, to another call."""
        heir = Stream(stream.id, stream.number, stream.model, stream.slot)
        heir.expected, heir.steps, heir.keeping = stream.expected, stream.steps, stream.keeping
        heir.owner = stream.owner
        self._live[stream.id] = heir
        return heir

    async def push(self, stream: Stream, chunk: Chunk) -> Float32:
        """Advances a stream by a chunk. Cancelling the wait closes a stream that is not kept.

        Args:
            stream: open, with no other chunk under way.
            chunk: numbered with `stream.expected`.

        Returns:
            The outputs, (steps, outputs).

        Raises:
            InvalidArgument: the chunk is refused; the stream is as it was before.
            ProtocolViolation: the stream is closed, or another of its chunks is under way.
            ModelFault: the model failed; the stream is closed.
            Unavailable: the server is stopping; the stream is closed.
        """
        if stream.keeping is not None and stream.ended is None:
            stream.keeping.acknowledge(chunk.acknowledged)
        inputs = self._accepted(stream, chunk)
        future: asyncio.Future[Float32] = stream.model.batcher.loop.create_future()

        def taken(ready: Ready) -> None:
            if future.done():
                return
            if ready.error is None:
                future.set_result(ready.by_step())
            else:
                future.set_exception(ready.error)

        under_way = self._begin(stream, inputs, chunk.steps, taken)
        try:
            return await future
        except asyncio.CancelledError:
            # A kept stream's chunk is taken all the same: its state stays one that has a number.
            if stream.keeping is None:
                stream.model.batcher.drop(under_way)
                stream.busy = False
                self.close(stream)
                stream.tell_idle()
            raise

    def advance(
        self, stream: Stream, inputs: Array, steps: int, then: Callable[[Ready], None]
    ) -> None:
        """Advances a stream by packed rows that were checked before; `then` gets the answer.

        A step that failed closes the stream.

        Raises:
            ProtocolViolation: the stream is closed, or another of its chunks is under way.
        """
        if stream.busy or stream.ended or self._live.get(stream.id) is not stream:
            raise untimely(stream, stream.expected)
        self._begin(stream, inputs.data, steps, then)

    def _begin(
        self, stream: Stream, inputs: Buffer, steps: int, then: Callable[[Ready], None]
    ) -> Ready:
        stream.busy = True

        def done(ready: Ready) -> None:
            stream.busy = False
            if ready.error is not None:
                # Nobody can say which steps its state has taken.
                self.close(stream)
                if isinstance(ready.error, ModelFault):
                    # What a stop or an unload settles is counted as that.
                    self._metrics.ended("failed")
            else:
                stream.expected += 1
                stream.steps += ready.steps
                if stream.keeping is not None and self._live.get(stream.id) is stream:
                    # It outlives its call, and nobody has closed it meanwhile.
                    self.on_taken(stream, stream.expected - 1, ready.by_step())
            then(ready)
            if stream.on_idle:
                stream.tell_idle()

        return stream.model.batcher.begin(stream.slot, inputs, steps, done)

    async def evict(self, model: ServedModel, seconds: float) -> None:
        """Waits until a model that is no longer served has no stream, at most `seconds`.

        What is left then parts: its call is told why. None of its steps is under way afterwards.
        """
        if self._of(model):
            emptied = self._evictions[id(model)] = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(emptied.wait(), seconds)
            del self._evictions[id(model)]
        while left := self._of(model):
            stream = left[0]
            self._metrics.ended("unloaded")
            stream.end(unloaded(model.name, model.version))
            await self.part(stream)
        model.batcher.close()
        landed = asyncio.Event()
        model.batcher.at_rest(landed.set)
        await landed.wait()

    def close(self, stream: Stream) -> int:
        """Ends a stream; returns the steps it took. Closing twice is closing.

        Its slot is free when no chunk is under way: until then its row is written.
        """
        if self._live.get(stream.id) is stream:
            del self._live[stream.id]
            note(stream, "is closed")
            if self.on_closed is not None:
                self.on_closed(stream)
            stream.on_idle.append(partial(stream.model.batcher.retire, stream.slot))
            if not stream.busy:
                stream.tell_idle()
            left = self._evictions.get(id(stream.model)) if self._evictions else None
            if left is not None and not self._of(stream.model):
                left.set()
            if not self._live:
                self._emptied.set()
        return stream.steps

    def hurry(self) -> None:
        """Ends a drain's wait."""
        self._emptied.set()

    def refuse(self) -> None:
        """Opens no stream any more."""
        self._draining = True

    async def drain(self, seconds: float) -> None:
        """Refuses new streams and waits until the live ones have closed, at most `seconds`."""
        self.refuse()
        if self._live:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), seconds)
        self._metrics.ended("drained", len(self._live))
        for model in self._models:
            model.batcher.close()

    async def _close_now(self, stream: Stream) -> None:
        self.close(stream)

    def _of(self, model: ServedModel) -> list[Stream]:
        return [stream for stream in self._live.values() if stream.model is model]

    def _accepted(self, stream: Stream, chunk: Chunk) -> Buffer:
        """A chunk's packed rows."""
        if stream.busy or stream.ended or self._live.get(stream.id) is not stream:
            raise untimely(stream, chunk.sequence)
        try:
            if chunk.sequence != stream.expected:
                raise gap(stream, chunk)
            model, signature = stream.model, stream.model.signature
            if not signature.native:
                raise InvalidArgument(
                    f"model {model.name} has other inputs than one of float32; send its chunks by "
                    "the Open Inference Protocol",
                    reason="MODEL_NOT_NATIVE",
                )
            inputs = decode(chunk, signature.inputs[0].size, model.max_chunk_steps)
            if signature.plain:
                return chunk.data
            if signature.whole:
                inputs = inputs.reshape(1, len(inputs), *signature.inputs[0].shape[1:])
            return packed(model, [inputs], stream.number, first=not stream.steps).data
        except InvalidArgument as error:
            stream.model.metrics.refused(error.reason)
            raise
