"""The tick: every stream that has a step ready advances by one step, all in one call.

Owns the queue of chunks and the rhythm of calls. A tick starts as soon as anything is ready;
whatever arrives meanwhile is the next batch. A chunk of many steps takes one step a tick beside
everybody else's, and goes to the end of the queue after each, so that it holds nobody up. Knows
nothing of stream ids, sequence numbers or transports.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from service.arena import Arena, Float32, Slot
from service.engine import StepEngine
from service.errors import ModelFault, ServiceError, stopping
from service.metrics import ModelMetrics

_log = logging.getLogger(__name__)


class _Job:
    """A chunk on its way: its inputs, (steps, features), and the outputs so far."""

    __slots__ = ("future", "inputs", "outputs", "slot", "steps")

    def __init__(self, slot: int, inputs: Float32, future: "asyncio.Future[Float32]") -> None:
        self.slot = slot
        self.inputs = inputs
        self.steps = len(inputs)
        self.outputs: list[Float32] = []
        self.future = future


class _Tick:
    """One batch on its way through the engine."""

    __slots__ = ("batch", "slots", "started")

    def __init__(self, batch: list[_Job], started: float) -> None:
        self.batch = batch
        self.slots = np.array([job.slot for job in batch], np.intp)
        self.started = started


class Batcher:
    """Advances the streams of one model, on the event loop that submits to it."""

    def __init__(
        self,
        engine: StepEngine,
        arena: Arena,
        metrics: ModelMetrics,
        executor: Executor | None = None,
    ) -> None:
        """Takes an idle engine.

        Args:
            engine: computes the steps; nobody else may use it from now on.
            arena: holds the states.
            metrics: counts ticks.
            executor: runs the engine's calls, for a model too slow for the event loop; None runs
                them inline.
        """
        self._engine = engine
        self._arena = arena
        self._metrics = metrics
        self._executor = executor
        self._ready: deque[_Job] = deque()
        self._flying = False
        self._retired: list[Slot] = []
        self._scheduled = False
        self._closed = False

    def submit(self, slot: Slot, inputs: Float32) -> "asyncio.Future[Float32]":
        """Queues a chunk.

        A slot may have one chunk at a time here. Cancelling the future takes the chunk back: steps
        that were not taken yet are not taken.

        Args:
            slot: the stream's row in the arena.
            inputs: (steps, features), at least one step, finite.

        Returns:
            The outputs to come, (steps, outputs); or ModelFault, or Unavailable after close.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Float32] = loop.create_future()
        if self._closed:
            future.set_exception(stopping())
            return future
        self._ready.append(_Job(slot.row, inputs, future))
        self._schedule(loop)
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
        for job in self._ready:
            _fail(job, stopping())
        self._ready.clear()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._scheduled or self._flying or not self._ready:
            return
        self._scheduled = True
        # At the end of the loop's round: the other messages of this round join the batch.
        loop.call_soon(self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        tick = _Tick(self._take(), time.perf_counter())
        if not tick.batch:
            return
        failure = _outcome(self._gather, tick)
        if failure is None and self._executor is not None:
            self._flying = True
            call = loop.run_in_executor(self._executor, _outcome, self._compute, tick)
            call.add_done_callback(lambda done: self._land(tick, done.result()))
        else:
            self._land(tick, failure or _outcome(self._compute, tick))

    def _take(self) -> list[_Job]:
        """The next batch: the longest waiting first, without those that were cancelled."""
        batch: list[_Job] = []
        while self._ready and len(batch) < self._engine.max_batch:
            job = self._ready.popleft()
            if not job.future.done():
                batch.append(job)
        return batch

    def _gather(self, tick: _Tick) -> None:
        rows = len(tick.batch)
        steps = [job.inputs[len(job.outputs)] for job in tick.batch]
        np.concatenate(steps, out=self._engine.inputs[:rows].reshape(-1))
        self._arena.gather(tick.slots, self._engine.states[:rows])

    def _compute(self, tick: _Tick) -> None:
        self._engine.step(len(tick.batch))

    def _land(self, tick: _Tick, failure: ServiceError | None) -> None:
        """Settles a tick, gives back what was retired meanwhile, and goes on with what waits."""
        self._flying = False
        failure = failure or _outcome(self._scatter, tick)
        if failure is not None:
            for job in tick.batch:
                _fail(job, failure)
        self._metrics.tick_seconds.observe(time.perf_counter() - tick.started)
        self._metrics.tick_rows.observe(len(tick.batch))
        for slot in self._retired:
            self._arena.release(slot)
        self._retired.clear()
        self._schedule(asyncio.get_running_loop())

    def _scatter(self, tick: _Tick) -> None:
        """Writes the states back and hands out the outputs."""
        rows = len(tick.batch)
        # The engine's buffers are written again by the next tick; the callers keep this copy.
        outputs = self._engine.outputs[:rows].copy()
        states = self._engine.next_states[:rows]
        self._arena.scatter(tick.slots, states)
        self._deliver(tick.batch, outputs, _finite_rows(outputs, states))

    def _deliver(
        self, batch: list[_Job], outputs: Float32, finite: NDArray[np.bool_] | None
    ) -> None:
        for row, job in enumerate(batch):
            if finite is not None and not finite[row]:
                _fail(job, _not_a_number())
                continue
            job.outputs.append(outputs[row])
            if len(job.outputs) < job.steps:
                self._requeue(job)
            elif not job.future.done():
                job.future.set_result(_joined(job.outputs))

    def _requeue(self, job: _Job) -> None:
        if self._closed:
            _fail(job, stopping())
        else:
            self._ready.append(job)


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


def _finite_rows(outputs: Float32, states: Float32) -> NDArray[np.bool_] | None:
    """Which rows are numbers throughout, (batch,); None where all are."""
    if np.isfinite(outputs).all() and np.isfinite(states).all():
        return None
    return np.logical_and(np.isfinite(outputs).all(axis=1), np.isfinite(states).all(axis=1))


def _joined(outputs: list[Float32]) -> Float32:
    return outputs[0][np.newaxis] if len(outputs) == 1 else np.stack(outputs)


def _fail(job: _Job, error: ServiceError) -> None:
    if not job.future.done():
        job.future.set_exception(error)


def _not_a_number() -> ModelFault:
    return ModelFault(
        "the model answered a finite input with NaN or infinity; the stream ends, since its state "
        "is lost: check the input's scale against the training data",
        reason="MODEL_NOT_FINITE",
    )
