"""Sequences: streams that are known by an id that their callers choose, on any connection.

Owns what START, END and a request in between mean, the order of requests of one sequence, and the
idle sweep. A second START on a live id begins it anew, as Triton does, and is counted. Requests to
models without state pass through here too. Knows nothing of gRPC.
"""

import asyncio
from collections import OrderedDict, deque

from service.access import Identity
from service.alone import Done, infer_alone, spend
from service.errors import Exhausted, InvalidArgument, ServiceError, shorten, stopping
from service.live import Stream
from service.metrics import Metrics
from service.models import Models, ServedModel
from service.ready import Ready
from service.requests import Answer, Request, SequenceId, check_outputs, decode, encode
from service.settings import Settings
from service.stepping import packed, steps_of
from service.streams import Streams
from service.tensors import Array

# Model, id, and whose it is.
_Key = tuple[str, SequenceId, str]
# Ids of which it is remembered that they timed out.
_EXPIRED_KEPT = 10_000
_SWEEP_SECONDS = 0.25


class _Sequence:
    """One id: its stream while it has one, and the requests that wait for each other."""

    __slots__ = ("busy", "caller", "passing", "stream", "touched", "waiting")

    def __init__(self, caller: Identity) -> None:
        self.caller = caller
        self.stream: Stream | None = None
        self.waiting: deque[tuple[Request, Done]] = deque()
        self.busy = False
        self.passing = False
        self.touched = 0.0


class Sequences:
    """All sequences of this server."""

    def __init__(
        self, models: Models, streams: Streams, settings: Settings, metrics: Metrics
    ) -> None:
        """Starts without sequences."""
        self._models = models
        self._streams = streams
        self._idle_seconds = settings.sequence_idle_seconds
        self._max_id_length = settings.max_id_length
        self._max_requests = settings.max_requests
        self._under_way = 0
        self._metrics = metrics
        self._live: dict[_Key, _Sequence] = {}
        self._expired: OrderedDict[_Key, None] = OrderedDict()
        self._loop = asyncio.get_running_loop()

    def infer(self, request: Request, done: Done) -> None:
        """Takes one request; `done` is called once, now or later, with the answer or the error."""
        if self._under_way >= self._max_requests:
            done(self._too_many())
            return
        self._under_way += 1

        def finished(outcome: Answer | ServiceError) -> None:
            self._under_way -= 1
            done(outcome)

        try:
            self._begin(request, finished)
        except ServiceError as error:
            finished(error)

    def _begin(self, request: Request, done: Done) -> None:
        if request.sequence is None or request.sequence in (0, ""):
            self._infer_alone(request, done)
            return
        self._check_id(request.sequence)
        key = (request.model, request.sequence, request.caller.name)
        sequence = self._live.get(key)
        if sequence is None:
            sequence = self._live[key] = _Sequence(request.caller)
        if sequence.busy:
            sequence.waiting.append((request, done))
        else:
            self._take(key, sequence, request, done)

    def _too_many(self) -> Exhausted:
        reason = "REQUESTS_EXHAUSTED"
        self._metrics.refused_call(reason)
        return Exhausted(
            f"{self._under_way} requests are under way, as many as this server takes; send it "
            "again",
            reason=reason,
            retry_after=0.1,
            max_requests=self._max_requests,
        )

    async def sweep(self) -> None:
        """Ends sequences that were idle for too long, until it is cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self._loop.time()
            for key, sequence in list(self._live.items()):
                stream = sequence.stream
                if sequence.busy or stream is None:
                    continue
                if now - sequence.touched > self._limit(stream.model):
                    self._end(key, sequence)
                    self._remember(key)
                    self._metrics.sequence_expired()

    def _limit(self, model: ServedModel) -> float:
        """Idle seconds that a sequence of a model may have."""
        config = model.artifact.config
        said = config.sequence_batching.max_sequence_idle_microseconds if config else 0
        return said * 1e-6 or self._idle_seconds

    def _remember(self, key: _Key) -> None:
        self._expired[key] = None
        if len(self._expired) > _EXPIRED_KEPT:
            self._expired.popitem(last=False)

    def _check_id(self, sequence: SequenceId) -> None:
        if isinstance(sequence, str) and len(sequence) > self._max_id_length:
            raise InvalidArgument(
                f"sequence_id has {len(sequence)} characters; take at most {self._max_id_length}",
                reason="SEQUENCE_ID_LENGTH",
            )

    def _take(self, key: _Key, sequence: _Sequence, request: Request, done: Done) -> None:
        """Begins a request of a sequence that has none under way."""
        try:
            stream, inputs, steps = self._stepped(key, sequence, request)
        except ServiceError as error:
            if sequence.stream is None:
                self._live.pop(key, None)
            done(error)
            return

        def land(ready: Ready) -> None:
            self._land(key, sequence, request, ready, done)

        sequence.busy = True
        try:
            self._streams.advance(stream, inputs, steps, land)
        except ServiceError as error:
            sequence.busy = False
            done(error)

    def _stepped(
        self, key: _Key, sequence: _Sequence, request: Request
    ) -> tuple[Stream, Array, int]:
        """The stream of a request, its rows, its steps; refused, it leaves all as it was."""
        stream = sequence.stream
        live = stream is not None and stream.ended is None
        if request.start or not live:
            if not request.start:
                raise self._not_started(key, sequence)
            model = self._models.find(request.model, request.version)
        else:
            assert stream is not None
            model = _same_version(stream, request)
        check_outputs(model, request.outputs)
        values = decode(model, request.inputs)
        steps = steps_of(model, values)
        spend(request, model, steps)
        if request.start:
            if live:
                self._metrics.sequence_restarted()
            stream = self._started(sequence, request)
            self._expired.pop(key, None)
        assert stream is not None
        number = key[1] if isinstance(key[1], int) else stream.number
        rows = packed(model, values, number, first=not stream.steps, last=request.end)
        return stream, rows, steps

    def _started(self, sequence: _Sequence, request: Request) -> Stream:
        """A new stream for a sequence, in place of the one that it had."""
        self._release(sequence)
        try:
            request.caller.enter()
        except ServiceError as error:
            self._metrics.refused_open(error.reason)
            raise
        try:
            stream = self._streams.open(request.model, request.version)
        except ServiceError:
            request.caller.leave()
            raise
        # The latest of the name: its file may have been read again.
        sequence.stream, sequence.caller = stream, request.caller
        return stream

    def _release(self, sequence: _Sequence) -> None:
        """Closes the stream of a sequence, if it has one."""
        if sequence.stream is not None:
            self._streams.close(sequence.stream)
            sequence.stream = None
            sequence.caller.leave()

    def _not_started(self, key: _Key, sequence: _Sequence) -> ServiceError:
        ended = sequence.stream.ended if sequence.stream is not None else None
        if ended is not None:
            self._end(key, sequence)
            return ended
        model = self._models.find(key[0])
        if not model.signature.states:
            return InvalidArgument(
                f"model {model.name} keeps no state; leave sequence_id out",
                reason="MODEL_STATELESS",
            )
        expired = key in self._expired
        return InvalidArgument(
            f"sequence {shorten(str(key[1]))!r} of model {key[0]} "
            + ("was idle for too long and has ended" if expired else "is not live")
            + "; set sequence_start on its first request",
            reason="SEQUENCE_EXPIRED" if expired else "SEQUENCE_NOT_STARTED",
            model=key[0],
            sequence_id=shorten(str(key[1])),
        )

    def _land(
        self, key: _Key, sequence: _Sequence, request: Request, ready: Ready, done: Done
    ) -> None:
        sequence.busy = False
        sequence.touched = self._loop.time()
        stream = sequence.stream
        assert stream is not None
        if ready.error is not None or request.end:
            self._release(sequence)
        done(ready.error or encode(stream.model, ready.joined(), request.outputs, ready.steps))
        if sequence.passing:
            # A request that failed at once came from the loop below, which goes on with the next.
            return
        sequence.passing = True
        while sequence.waiting and not sequence.busy:
            self._take(key, sequence, *sequence.waiting.popleft())
        sequence.passing = False
        if sequence.stream is None and not sequence.busy:
            self._live.pop(key, None)

    def _end(self, key: _Key, sequence: _Sequence) -> None:
        self._release(sequence)
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


def _same_version(stream: Stream, request: Request) -> ServedModel:
    model = stream.model
    if request.version not in ("", str(model.version)):
        raise InvalidArgument(
            f"model_version is {shorten(request.version)!r}; this sequence runs on version "
            f"{model.version} until it ends",
            reason="VERSION_CHANGED",
        )
    return model
