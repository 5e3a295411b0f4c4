"""The tick: every stream that has a step ready advances by one step, all in one call.

Owns the rhythm of calls. Batches come in and go out: `put` takes a list of steps that are ready,
and each tick hands the list of those that it took, and one block of answers, to `deliver`, so that
a front end can read and write many at a time. `begin` is the same for one chunk, whose end
somebody is told of. A tick starts as soon as anything is ready; whatever arrives meanwhile is the
next batch. A chunk of many steps takes one step a tick beside everybody else's, and goes to the end
of the queue after each, so that it holds nobody up; of a model that takes whole chunks it is one
call, with others of its length. Knows nothing of stream ids, sequence numbers
or transports.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from service.errors import ModelFault, ServiceError, stopping
from service.metrics import ModelMetrics
from service.tensors import Array
from service.tick.advance import Advance, ByLength, States
from service.tick.backlog import Backlog, Lengths
from service.tick.ready import Buffer, Ready, Walk, Whole, settle
from service.tick.slots import Slot
from service.tick.statistics import Statistics

_log = logging.getLogger(__name__)
_now = time.perf_counter_ns


class _Tick:
    """One batch on its way through the engine, and when it reached each part of it."""

    __slots__ = ("advance", "batch", "computed", "gathered", "slots", "started", "waited")

    def __init__(self, advance: Advance, batch: list[Ready], started: int, waited: int) -> None:
        self.advance = advance
        self.batch = batch
        self.slots = np.array([ready.slot for ready in batch], np.intp)
        self.waited = waited
        self.started = self.gathered = self.computed = started


class Batcher:
    """Advances the streams of one model, on the event loop that submits to it.

    Attributes:
        statistics: what it has done so far.
    """

    def __init__(
        self,
        advance: Advance,
        states: States,
        metrics: ModelMetrics,
        executor: Executor | None = None,
        *,
        lengths: ByLength | None = None,
        deliver: Callable[[Sequence[Ready], Array], None] = settle,
    ) -> None:
        """Starts with nothing to do.

        Args:
            advance: computes the steps; nobody else may use it from now on.
            states: takes back the slots that it computes.
            metrics: counts ticks.
            executor: runs the calls, for a model too slow for the event loop; None runs
                them inline.
            lengths: computes chunks of many steps in one call each, those of one length together;
                None for a model that takes one step a call.
            deliver: takes the steps of a tick, and the rows that answer them in the same order;
                or steps that came to nothing, each with its error, and no rows.
        """
        self._advance = advance
        self._states = states
        self._metrics = metrics
        self._executor = executor
        self._deliver = deliver
        self._lengths = lengths
        self._backlog = Backlog() if lengths is None else Lengths()
        self._row_bytes = advance.inputs[:1].nbytes
        self._inputs = _memory(advance)
        self._flying = False
        self._resting: list[Callable[[], None]] = []
        self._retired: list[Slot] = []
        self._scheduled = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.statistics = Statistics()

    @property
    def max_batch(self) -> int:
        """Streams of one call at most."""
        return self._advance.max_batch

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that submits to it."""
        if self._loop is None:
            # Asked once: each question is a system call in Python 3.11.
            self._loop = asyncio.get_running_loop()
        return self._loop

    def put(self, batch: Sequence[Ready]) -> None:
        """Queues steps; each is delivered in its time.

        A slot may have one step at a time here.
        """
        now = _now()
        if self._closed:
            self._fail(batch, stopping())
            return
        self._backlog.put(batch, now)
        self._schedule()

    def begin(self, slot: Slot, inputs: Buffer, steps: int, then: Callable[[Ready], None]) -> Ready:
        """Queues one chunk of a batcher that settles.

        Args:
            slot: the stream's row in the arena.
            inputs: packed rows of finite numbers, one a step.
            steps: how many, at least one.
            then: is told once of all of them.

        Returns:
            What to `drop` where nobody waits for it any more.
        """
        if self._lengths is not None:
            ready: Ready = Whole(slot.row, inputs, steps, then)
            self.put((ready,))
            return ready
        assert memoryview(inputs).nbytes == steps * self._row_bytes
        if steps == 1:
            ready = Ready(slot.row, inputs, then)
        else:
            ready = Walk(slot.row, inputs, steps, put=self.put, then=then).ready
        self.put((ready,))
        return ready

    def drop(self, ready: Ready) -> None:
        """Takes a chunk back: steps that were not taken yet are not taken."""
        self._backlog.drop(ready)

    def retire(self, slot: Slot) -> None:
        """Gives a slot back, after the call that may still be using it."""
        if self._flying:
            self._retired.append(slot)
        else:
            self._states.slots.release(slot)

    def at_rest(self, act: Callable[[], None]) -> None:
        """Does something while no step is under way: at once, or when the batch has landed.

        Steps that were delivered by then are taken whole, and none of those that wait has begun.
        """
        if self._flying:
            self._resting.append(act)
        else:
            act()

    def close(self) -> None:
        """Settles everything that is queued with Unavailable; a call under way still lands."""
        self._closed = True
        now = _now()
        while self._backlog:
            waiting, waited = self._backlog.take(len(self._backlog), now)
            self._fail(waiting, stopping(), waited)

    def _schedule(self) -> None:
        if self._scheduled or self._flying or not self._backlog:
            return
        self._scheduled = True
        # At the end of the loop's round: the other messages of this round join the batch.
        self.loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._scheduled = False
        started = _now()
        most = self._advance.max_batch
        if self._lengths is not None:
            most = self._lengths.most(self._backlog.steps)
        batch, waited = self._backlog.take(most, started)
        if not batch:
            self._schedule()
            return
        tick = _Tick(self._advance, batch, started, waited)
        self._flying = True
        failure = _outcome(self._gather, tick)
        if failure is None and self._executor is not None:
            call = self.loop.run_in_executor(self._executor, _outcome, self._compute, tick)
            call.add_done_callback(lambda done: self._land(tick, done.result()))
        else:
            self._land(tick, failure or _outcome(self._compute, tick))

    def _gather(self, tick: _Tick) -> None:
        rows = len(tick.batch)
        row_bytes, memory = self._row_bytes, self._inputs
        if self._lengths is not None:
            tick.advance = self._lengths.of(tick.batch[0].steps)
            row_bytes, memory = tick.advance.inputs[:1].nbytes, _memory(tick.advance)
        joined = b"".join([ready.inputs for ready in tick.batch])
        if len(joined) != rows * row_bytes:
            raise ValueError(f"{rows} rows of {row_bytes} bytes are {len(joined)}")
        memory[: len(joined)] = joined
        tick.advance.gather(tick.slots)
        tick.gathered = _now()

    def _compute(self, tick: _Tick) -> None:
        tick.advance.step(len(tick.batch))
        tick.computed = _now()

    def _land(self, tick: _Tick, failure: ServiceError | None) -> None:
        """Settles a batch; whatever goes wrong is its own affair, and the next tick follows."""
        failure = failure or _outcome(self._scatter, tick)
        if failure is not None:
            self._fail(tick.batch, failure, tick.waited + len(tick.batch) * (_now() - tick.started))
        self._flying = False
        for slot in self._retired:
            self._states.slots.release(slot)
        self._retired.clear()
        if self._resting:
            self._rest()
        self._count(tick, failure)
        self._schedule()

    def _rest(self) -> None:
        """Does what had to wait for the batch to land."""
        resting, self._resting = self._resting, []
        for act in resting:
            try:
                act()
            except Exception:
                _log.exception("what had to wait for a batch failed")

    def _scatter(self, tick: _Tick) -> None:
        rows = len(tick.batch)
        finite = tick.advance.scatter(tick.slots)
        # A copy: the buffer is the next tick's as well.
        outputs = tick.advance.outputs[:rows].copy()
        if finite is not None:
            lost = np.flatnonzero(~finite)
            for row in lost:
                tick.batch[row].error = _not_a_number()
            self.statistics.failed += len(lost)
            self._metrics.failed.inc(len(lost))
        self._deliver(tick.batch, outputs)

    def _fail(self, batch: Sequence[Ready], error: ServiceError, waited: int = 0) -> None:
        """Tells a batch that it came to nothing, after so many nanoseconds of all together."""
        for ready in batch:
            ready.error = ready.error or error
        self.statistics.failed += len(batch)
        self.statistics.failed_ns += waited
        self._metrics.failed.inc(len(batch))
        self._deliver(batch, self._advance.outputs[:0])

    def _count(self, tick: _Tick, failure: ServiceError | None) -> None:
        ended, rows = _now(), len(tick.batch)
        self._metrics.tick_rows.observe(rows)
        self._metrics.queue_wait.observe(tick.waited * 1e-9 / rows, rows)
        self._metrics.tick_seconds.observe((ended - tick.started) * 1e-9)
        if failure is None:
            self.statistics.tick(
                rows,
                tick.waited,
                tick.gathered - tick.started,
                tick.computed - tick.gathered,
                ended - tick.computed,
            )


def _memory(advance: Advance) -> memoryview:
    """The bytes of its inputs."""
    return advance.inputs.reshape(-1).view(np.uint8).data


def _outcome(act: Callable[[_Tick], None], tick: _Tick) -> ServiceError | None:
    """Does a part of a tick; a failure is a value, so that one bad call never ends the rhythm."""
    try:
        act(tick)
    except ServiceError as error:
        return error
    except Exception:
        _log.exception("a tick of %d rows failed", len(tick.batch))
        return ModelFault("a step failed; see the server's log", reason="TICK_FAILED")
    return None


def _not_a_number() -> ModelFault:
    return ModelFault(
        "the model answered a finite input with NaN or infinity; the stream ends, since its state "
        "is lost: check the input's scale against the training data",
        reason="MODEL_NOT_FINITE",
    )
