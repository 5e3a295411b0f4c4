"""The tick: every stream that has a step ready advances by one step, all in one call.

Owns the queue of chunks and the rhythm of calls. Batches come in and go out: `put` takes a list of
ready chunks, and each tick hands the list of those that it finished to `deliver`, so that a front
end can read and write many at a time. `submit` is the same for one chunk, with a future. A tick
starts as soon as anything is ready; whatever arrives meanwhile is the next batch. A chunk of many
steps takes one step a tick beside everybody else's, and goes to the end of the queue after each, so
that it holds nobody up. Knows nothing of stream ids, sequence numbers or transports.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from service.arena import Arena, Slot
from service.engine import StepEngine
from service.errors import ModelFault, ServiceError, stopping
from service.metrics import ModelMetrics
from service.ready import Ready, settle
from service.statistics import Statistics
from service.tensors import Array, Layout, finite_rows

_log = logging.getLogger(__name__)
_now = time.perf_counter_ns


class _Tick:
    """One batch on its way through the engine, and when it reached each part of it."""

    __slots__ = ("batch", "computed", "gathered", "slots", "started")

    def __init__(self, batch: list[Ready], started: int) -> None:
        self.batch = batch
        self.slots = np.array([ready.slot for ready in batch], np.intp)
        self.started = self.gathered = self.computed = started


class Batcher:
    """Advances the streams of one model, on the event loop that submits to it.

    Attributes:
        statistics: what it has done so far.
    """

    def __init__(
        self,
        engine: StepEngine,
        arena: Arena,
        metrics: ModelMetrics,
        executor: Executor | None = None,
        *,
        layouts: tuple[Layout, Layout] | None = None,
        deliver: Callable[[Sequence[Ready]], None] = settle,
    ) -> None:
        """Takes an idle engine.

        Args:
            engine: computes the steps; nobody else may use it from now on.
            arena: holds the states.
            metrics: counts ticks.
            executor: runs the engine's calls, for a model too slow for the event loop; None runs
                them inline.
            layouts: of outputs and states, which say where their numbers are; None where all are.
            deliver: takes the chunks that a tick finished, or that came to nothing.
        """
        self._engine = engine
        self._arena = arena
        self._metrics = metrics
        self._executor = executor
        self._layouts = layouts
        self._deliver = deliver
        self._ready: deque[Ready] = deque()
        self._flying = False
        self._retired: list[Slot] = []
        self._scheduled = False
        self._closed = False
        self.statistics = Statistics()

    @property
    def max_batch(self) -> int:
        """Streams of one call at most."""
        return self._engine.max_batch

    def put(self, batch: Sequence[Ready]) -> None:
        """Queues chunks; each is delivered in its time.

        A slot may have one chunk at a time here.
        """
        if self._closed:
            self._fail(batch, stopping())
            return
        now = _now()
        for ready in batch:
            ready.queued = now
        self._ready.extend(batch)
        self._schedule(asyncio.get_running_loop())

    def submit(self, slot: Slot, inputs: Array) -> "asyncio.Future[Array]":
        """Queues one chunk of a batcher that settles futures.

        Cancelling the future takes the chunk back: steps that were not taken yet are not taken.

        Args:
            slot: the stream's row in the arena.
            inputs: packed rows, (steps, input width), at least one step, finite.

        Returns:
            The outputs to come, (steps, output width); or ModelFault, or Unavailable after close.
        """
        future: asyncio.Future[Array] = asyncio.get_running_loop().create_future()

        def resolve(ready: Ready) -> None:
            if future.done():
                return
            if ready.error is None:
                future.set_result(ready.joined())
            else:
                future.set_exception(ready.error)

        ready = Ready(slot.row, inputs, resolve)
        ready.future = future
        self.put((ready,))
        return future

    def retire(self, slot: Slot) -> None:
        """Gives a slot back to the arena, after the call that may still be using it."""
        if self._flying:
            self._retired.append(slot)
        else:
            self._arena.release(slot)

    def close(self) -> None:
        """Settles everything that is queued with Unavailable; a call under way still lands."""
        self._closed = True
        waiting = list(self._ready)
        self._ready.clear()
        self._fail(waiting, stopping())

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._scheduled or self._flying or not self._ready:
            return
        self._scheduled = True
        # At the end of the loop's round: the other messages of this round join the batch.
        loop.call_soon(self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        tick = _Tick(self._take(), _now())
        if not tick.batch:
            return
        failure = _outcome(self._gather, tick)
        if failure is None and self._executor is not None:
            self._flying = True
            call = loop.run_in_executor(self._executor, _outcome, self._compute, tick)
            call.add_done_callback(lambda done: self._land(tick, done.result()))
        else:
            self._land(tick, failure or _outcome(self._compute, tick))

    def _take(self) -> list[Ready]:
        """The next batch: the longest waiting first, without those that were cancelled."""
        waiting, most = self._ready, self._engine.max_batch
        batch: list[Ready] = []
        while waiting and len(batch) < most:
            # As many as are missing: cancelled ones leave room for others.
            count = min(most - len(batch), len(waiting))
            batch += [
                ready
                for ready in [waiting.popleft() for _ in range(count)]
                if not ready.dropped and (ready.future is None or not ready.future.done())
            ]
        return batch

    def _gather(self, tick: _Tick) -> None:
        rows = len(tick.batch)
        steps = [
            ready.inputs if ready.steps == 1 else ready.inputs[ready.taken : ready.taken + 1]
            for ready in tick.batch
        ]
        np.concatenate(steps, out=self._engine.inputs[:rows])
        self._arena.gather(tick.slots, self._engine.states[:rows])
        tick.gathered = _now()

    def _compute(self, tick: _Tick) -> None:
        self._engine.step(len(tick.batch))
        tick.computed = _now()

    def _land(self, tick: _Tick, failure: ServiceError | None) -> None:
        """Settles a batch; whatever goes wrong is its own affair, and the next tick follows."""
        failure = failure or _outcome(self._scatter, tick)
        if failure is not None:
            self._fail(tick.batch, failure)
        self._flying = False
        for slot in self._retired:
            self._arena.release(slot)
        self._retired.clear()
        self._count(tick, failure)
        self._schedule(asyncio.get_running_loop())

    def _scatter(self, tick: _Tick) -> None:
        rows = len(tick.batch)
        # A copy: the engine's buffer is the next tick's as well.
        outputs = self._engine.outputs[:rows].copy()
        states = self._engine.next_states[:rows]
        self._arena.scatter(tick.slots, states)
        finite = self._finite(outputs, states)
        done = []
        for row, ready in enumerate(tick.batch):
            if finite is not None and not finite[row]:
                ready.error = _not_a_number()
            elif ready.steps == 1:
                # As `answer` does, without a call for every message.
                ready.taken, ready.block, ready.row = 1, outputs, row
            elif not ready.answer(outputs, row):
                if not self._closed:
                    self._ready.append(ready)
                    continue
                ready.error = stopping()
            done.append(ready)
        self._deliver(done)

    def _finite(self, outputs: Array, states: Array) -> Array | None:
        """Which rows are numbers throughout, (batch,); None where all are."""
        if self._layouts is None:
            good, kept = finite_rows(outputs), finite_rows(states)
        else:
            good, kept = self._layouts[0].finite(outputs), self._layouts[1].finite(states)
        if good is None or kept is None:
            return kept if good is None else good
        return good & kept

    def _fail(self, batch: Sequence[Ready], error: ServiceError) -> None:
        for ready in batch:
            ready.error = ready.error or error
        self.statistics.failed += len(batch)
        self.statistics.failed_ns += sum(_now() - ready.queued for ready in batch)
        self._deliver(batch)

    def _count(self, tick: _Tick, failure: ServiceError | None) -> None:
        ended, rows = _now(), len(tick.batch)
        self._metrics.tick_rows.observe(rows)
        self._metrics.tick_seconds.observe((ended - tick.started) * 1e-9)
        if failure is not None:
            return
        # A chunk has waited once, before its first step.
        waited = sum([tick.started - one.queued for one in tick.batch if one.taken == 1])
        self.statistics.tick(
            rows,
            waited,
            tick.gathered - tick.started,
            tick.computed - tick.gathered,
            ended - tick.computed,
        )


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
