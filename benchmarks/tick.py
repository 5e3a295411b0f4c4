"""The benchmark `tick`: the server's batched tick, without gRPC, beside ONNX Runtime's own rate.

Owns what is timed: batches through the seam as a front end hands them over (queue, gather, one
call, scatter, checks, delivery) against the same call on the same rows with nothing around it. They
take turns, so that whatever else the machine does falls on both.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import uvloop

from benchmarks import cores, machine, model
from benchmarks.benchmark import Benchmark
from benchmarks.report import Column, Record
from service.artifacts.repository import scan
from service.metrics import Metrics
from service.models.loader import load_model
from service.models.served import ServedModel
from service.runtime.engine import Engine
from service.settings import Settings
from service.tensors import Array
from service.tick.advance import HostAdvance
from service.tick.arena import Arena
from service.tick.batcher import Batcher
from service.tick.ready import Ready

_DESCRIPTION = """\
How much of ONNX Runtime's rate is left once a batch is gathered, computed, checked, its states kept
and its answers handed over: the server's ticks without gRPC, in turns with the bare call.

example:
  python -m benchmarks tick
"""
_BATCHES = (1, 8, 32, 64, 128, 256)
_SECONDS, _QUICK_SECONDS = 0.1, 0.01
_TURNS, _QUICK_TURNS = 15, 3


def measure(options: argparse.Namespace) -> list[Record]:
    """A record for each batch size; figures are medians over the turns."""
    seconds, turns = (_QUICK_SECONDS, _QUICK_TURNS) if options.quick else (_SECONDS, _TURNS)
    with tempfile.TemporaryDirectory() as folder, cores.pinned(cores.choose().server):
        repository = Path(folder)
        model.make(repository)
        (entry,) = scan(repository)
        served = load_model(entry, Settings(repository), Metrics())
        bare = Engine(served.artifact, provider="cpu", max_batch=max(_BATCHES))
        return [uvloop.run(_compare(served, bare, rows, seconds, turns)) for rows in _BATCHES]


async def _compare(
    served: ServedModel, bare: Engine, rows: int, seconds: float, turns: int
) -> Record:
    """Turns of both at one batch size."""
    raw, ticked = [], []
    for _ in range(turns):
        raw.append(bare_rate(bare, rows, seconds))
        ticked.append(await _tick_rate(served, bare, rows, seconds))
    shares = [one / other for one, other in zip(ticked, raw, strict=True)]
    return {
        "benchmark": "tick",
        "batch": rows,
        "raw_steps_per_second": median(raw),
        "tick_steps_per_second": median(ticked),
        "share_percent": 100 * median(shares),
        "share_percent_lowest": 100 * min(shares),
        "turns": turns,
        **machine.describe(),
    }


def bare_rate(engine: Engine, rows: int, seconds: float) -> float:
    """Steps a second of calls with nothing around them."""
    calls, started = 0, time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        engine.step(rows)
        calls += 1
    return calls * rows / (now - started)


async def _tick_rate(served: ServedModel, bare: Engine, rows: int, seconds: float) -> float:
    """Steps a second of batches that go into the seam and come out of it."""
    signature = served.signature
    arena = Arena(rows, signature.initial_row())
    ended = asyncio.get_running_loop().create_future()
    steps, started = 0, 0.0

    def deliver(_done: Sequence[Ready], _outputs: Array) -> None:
        nonlocal steps
        steps += rows
        if time.perf_counter() - started < seconds:
            batcher.put(batch)
        else:
            ended.set_result(time.perf_counter() - started)

    batcher = Batcher(
        HostAdvance(bare, arena, (signature.output_layout(), signature.state_layout())),
        arena,
        served.metrics,
        deliver=deliver,
    )
    slots = [arena.acquire() for _ in range(rows)]
    inputs = [served.input_layout.rows(1).tobytes() for _ in slots]
    # What arrives is the front end's to make. One batch is put again and again, since what has
    # just arrived is in the cache.
    batch = [Ready(slot.row, row) for slot, row in zip(slots, inputs, strict=True)]
    started = time.perf_counter()
    batcher.put(batch)
    took: float = await ended
    for slot in slots:
        arena.slots.release(slot)
    return steps / took


BENCHMARK = Benchmark(
    name="tick",
    summary="the batched tick without gRPC, beside ONNX Runtime's own rate",
    description=_DESCRIPTION,
    add_arguments=lambda parser: None,
    measure=measure,
    columns=(
        Column("batch", "batch"),
        Column("ONNX Runtime steps/s", "raw_steps_per_second", ",.0f"),
        Column("tick steps/s", "tick_steps_per_second", ",.0f"),
        Column("share %", "share_percent", ".1f"),
        Column("lowest %", "share_percent_lowest", ".1f"),
    ),
)
