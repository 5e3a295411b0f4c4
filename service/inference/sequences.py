"""Sequences: streams that are known by an id that their callers choose, on any connection.

Owns what START, END and a request in between mean, the order of requests of one sequence, and the
idle sweep. A second START on a live id begins it anew, as Triton does, and is counted. At the end
of a server its sequences are given to those that share its store, and one that is not live here is
looked for there. Requests to models without state pass through here too. Knows nothing of gRPC.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from typing import TypeVar

from service.background import every
from service.errors import InvalidArgument, NotFound, ServiceError, stopping
from service.inference.alone import infer_alone, spend
from service.inference.counted import CountedStreams
from service.inference.handover import Handover, Key
from service.inference.requests import Done, Request, check_outputs, decode, encode
from service.inference.sequence import Sequence, check_id, not_live, same_version
from service.inference.under_way import UnderWay, told
from service.metrics import Metrics
from service.models.served import Models, ServedModel
from service.settings import Settings
from service.stores.store import now_ms
from service.streams.live import Stream
from service.streams.seam import Streams
from service.streams.stepping import check_number, packed, steps_of
from service.tensors import Array
from service.tick.ready import Ready

Value = TypeVar("Value")
# Ids of which it is remembered that they timed out, or when they were begun here.
_REMEMBERED = 10_000
_SWEEP_SECONDS = 0.25
_log = logging.getLogger(__name__)


class Sequences:
    """All sequences of this server."""

    def __init__(
        self,
        models: Models,
        streams: Streams,
        settings: Settings,
        metrics: Metrics,
        handover: Handover | None = None,
    ) -> None:
        """Starts without sequences; without a hand-over, they end with this server."""
        self._models, self._streams, self._metrics = models, streams, metrics
        self._idle_seconds = settings.sequence_idle_seconds
        self._max_id_length = settings.max_id_length
        self._under_way = UnderWay(settings.max_requests, metrics)
        self._held = CountedStreams(streams, metrics)
        self._leaving = False
        self._live: dict[Key, Sequence] = {}
        self._expired: OrderedDict[Key, None] = OrderedDict()
        self._handover = handover if handover is not None and handover.possible else None
        # When ids were last begun here: what was given before is an earlier sequence.
        self._begun: OrderedDict[Key, int] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def infer(self, request: Request, done: Done) -> None:
        """Takes one request; `done` is called once, now or later, with the answer or the error."""
        try:
            done = self._under_way.begin(done)
            self._begin(request, done)
        except Exception as error:
            done(told(error))

    async def hand_over(self) -> None:
        """Begins no sequence any more, and gives each to those that share the store.

        Where there are none, sequences go on until they end; otherwise no request is taken.
        """
        self._leaving = True
        if self._handover is not None:
            await asyncio.gather(*(self._give(*one) for one in list(self._live.items())))

    async def _give(self, key: Key, sequence: Sequence) -> None:
        if sequence.busy or sequence.waiting:
            sequence.quiet = asyncio.Event()
            await sequence.quiet.wait()
        stream = sequence.stream
        if stream is None or stream.ended is not None or self._handover is None:
            return
        try:
            await self._handover.give(key, stream)
        except ServiceError as error:
            _log.warning("a sequence of %s ends with this server: %s", key[0], error.message)
        self._end(key, sequence)

    async def _look_for(self, key: Key, sequence: Sequence, request: Request, done: Done) -> None:
        """Asks the store for a sequence that is not live here; other requests wait meanwhile."""
        assert self._handover is not None
        try:
            await self._find(self._handover, key, sequence, request)
        except Exception as error:
            sequence.busy = False
            done(told(error))
        else:
            sequence.busy = False
            self._take(key, sequence, request, done)
        self._go_on(key, sequence)

    async def _find(
        self, handover: Handover, key: Key, sequence: Sequence, request: Request
    ) -> None:
        """Puts the stream that another server has given into a sequence."""
        idle = self._limit(self._models.find(request.model))
        # Before anything is taken: what has left the store can't be refused any more.
        self._held.enter(request.caller)
        try:
            stream = await handover.take(key, idle, self._begun.get(key, 0))
            if stream is None:
                raise self._not_started(key, sequence)
        except BaseException:
            request.caller.leave()
            raise
        self._held.put(sequence, stream, request.caller)

    def _begin(self, request: Request, done: Done) -> None:
        if self._leaving and (request.start or self._handover is not None):
            raise stopping()
        if request.sequence is None or request.sequence in (0, ""):
            self._infer_alone(request, done)
            return
        check_id(request.sequence, self._max_id_length)
        key = (request.model, request.sequence, request.caller.name)
        sequence = self._live.get(key)
        if sequence is None:
            sequence = self._live[key] = Sequence(request.caller)
        if sequence.busy:
            sequence.waiting.append((request, done))
        elif sequence.stream is None and not request.start and self._handover is not None:
            # Another server may have given it.
            sequence.busy = True
            task = asyncio.ensure_future(self._look_for(key, sequence, request, done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._take(key, sequence, request, done)

    async def sweep(self) -> None:
        """Ends sequences that were idle for too long, until it is cancelled."""
        await every(_SWEEP_SECONDS, "the look for idle sequences", self.expire)

    def expire(self) -> None:
        """Ends the sequences that are idle for too long by now."""
        for key, sequence in list(self._live.items()):
            stream, idle = sequence.stream, self._held.now() - sequence.touched
            if stream is not None and not sequence.busy and idle > self._limit(stream.model):
                self._end(key, sequence)
                _remember(self._expired, key, None)
                self._metrics.ended("sequence_expired")

    def _limit(self, model: ServedModel) -> float:
        """Idle seconds that a sequence of a model may have."""
        config = model.artifact.config
        said = config.sequence_batching.max_sequence_idle_microseconds if config else 0
        return said * 1e-6 or self._idle_seconds

    def _take(self, key: Key, sequence: Sequence, request: Request, done: Done) -> None:
        """Begins a request of a sequence that has none under way, once there is room for it."""

        def begin() -> None:
            sequence.busy = False
            self._step(key, sequence, request, done)
            if not sequence.busy:
                self._go_on(key, sequence)

        if request.start:
            # A stream that has closed, perhaps this sequence's own, gives its slot back when the
            # batch under way has landed.
            with contextlib.suppress(NotFound):
                model = self._models.find(request.model, request.version)
                sequence.busy = True
                model.batcher.at_rest(begin)
                return
        begin()

    def _step(self, key: Key, sequence: Sequence, request: Request, done: Done) -> None:
        def land(ready: Ready) -> None:
            self._land(key, sequence, request, ready, done)

        try:
            stream, inputs, steps = self._stepped(key, sequence, request)
            sequence.busy = True
            self._streams.advance(stream, inputs, steps, land)
        except Exception as error:
            sequence.busy = False
            if not isinstance(error, ServiceError):
                # Nobody can say what was done of it.
                self._held.release(sequence)
            done(told(error))

    def _stepped(self, key: Key, sequence: Sequence, request: Request) -> tuple[Stream, Array, int]:
        """The stream of a request, its rows, its steps; refused, it leaves all as it was."""
        stream = sequence.stream
        live = stream is not None and stream.ended is None
        if request.start or not live:
            if not request.start:
                raise self._not_started(key, sequence)
            model = self._models.find(request.model, request.version)
        else:
            assert stream is not None
            model = same_version(stream, request)
        check_outputs(model, request.outputs)
        values = decode(model, request.inputs)
        steps = steps_of(model, values)
        if isinstance(key[1], int):
            check_number(model, key[1])
        spend(request, model, steps)
        if request.start:
            stream = self._held.begin(sequence, request, model)
            if live:
                self._metrics.sequence_restarted()
            self._expired.pop(key, None)
            if self._handover is not None:
                _remember(self._begun, key, now_ms())
        assert stream is not None
        number = key[1] if isinstance(key[1], int) else stream.number
        rows = packed(model, values, number, first=not stream.steps, last=request.end)
        return stream, rows, steps

    def _not_started(self, key: Key, sequence: Sequence) -> ServiceError:
        """Why a request without START can't be taken."""
        ended = sequence.stream.ended if sequence.stream is not None else None
        if ended is not None:
            self._held.release(sequence)
            return ended
        return not_live(key, self._models.find(key[0]), expired=key in self._expired)

    def _land(
        self, key: Key, sequence: Sequence, request: Request, ready: Ready, done: Done
    ) -> None:
        sequence.busy = False
        sequence.touched = self._held.now()
        stream = sequence.stream
        assert stream is not None
        if ready.error is not None or request.end:
            self._held.release(sequence)
        try:
            done(ready.error or encode(stream.model, ready.joined(), request.outputs, ready.steps))
        except Exception as error:
            done(told(error))
        self._go_on(key, sequence)

    def _go_on(self, key: Key, sequence: Sequence) -> None:
        """Takes the requests that have waited, until one is under way."""
        if sequence.passing:
            # A request that failed at once came from the loop below, which goes on with the next.
            return
        sequence.passing = True
        while sequence.waiting and not sequence.busy:
            self._take(key, sequence, *sequence.waiting.popleft())
        sequence.passing = False
        if sequence.busy:
            return
        if sequence.stream is None:
            self._live.pop(key, None)
        if sequence.quiet is not None:
            sequence.quiet.set()

    def _end(self, key: Key, sequence: Sequence) -> None:
        self._held.release(sequence)
        self._live.pop(key, None)

    def _infer_alone(self, request: Request, done: Done) -> None:
        model = self._models.find(request.model, request.version)
        if self._streams.draining:
            raise stopping()
        if model.signature.states:
            raise InvalidArgument(
                f"model {model.name} keeps state for each sequence: give every request a "
                "sequence_id that is neither 0 nor empty",
                reason="SEQUENCE_ID_MISSING",
            )
        infer_alone(model, request, done)


def _remember(keys: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    keys[key] = value
    keys.move_to_end(key)
    if len(keys) > _REMEMBERED:
        keys.popitem(last=False)
