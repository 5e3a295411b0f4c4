"""The benchmark `tick`: the server's batched tick, without gRPC, beside ONNX Runtime's own rate.

Owns what is timed: a tick as the server makes it (queue, gather, one call, scatter, checks, answers
to each stream) against the same call on the same rows with nothing around it. They take turns, so
that whatever else the machine does falls on both.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks import cores, machine, model
from benchmarks.benchmark import Benchmark
from benchmarks.report import Column, Record
from service.engine import Engine
from service.loader import load_model
from service.metrics import Metrics
from service.models import ServedModel
from service.ready import Ready
from service.repository import scan
from service.settings import Settings

_DESCRIPTION = """\
How much of ONNX Runtime's rate is left once a batch is made, its states are kept and every stream
gets its answer: ticks of the server without gRPC, in turns with the bare call on the same rows.

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
        return [asyncio.run(_compare(served, bare, rows, seconds, turns)) for rows in _BATCHES]


async def _compare(
    served: ServedModel, bare: Engine, rows: int, seconds: float, turns: int
) -> Record:
    """Turns of both at one batch size."""
    raw, ticked = [], []
    for _ in range(turns):
        raw.append(_bare_rate(bare, rows, seconds))
        ticked.append(await _tick_rate(served, rows, seconds))
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


def _bare_rate(engine: Engine, rows: int, seconds: float) -> float:
    """Steps a second of calls with nothing around them."""
    calls, started = 0, time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        engine.step(rows)
        calls += 1
    return calls * rows / (now - started)


async def _tick_rate(served: ServedModel, rows: int, seconds: float) -> float:
    """Steps a second of streams that each send their next step when the last one is answered."""
    batcher, arena = served.batcher, served.arena
    slots = [arena.acquire() for _ in range(rows)]
    inputs = [served.input_layout.rows(1) for _ in slots]
    ended = asyncio.get_running_loop().create_future()
    steps, answered, started = 0, 0, time.perf_counter()

    def land(_ready: Ready) -> None:
        nonlocal answered, steps
        answered += 1
        if answered < rows:
            return
        answered, steps = 0, steps + rows
        if time.perf_counter() - started < seconds:
            send()
        else:
            ended.set_result(time.perf_counter() - started)

    def send() -> None:
        batcher.put([Ready(slot.row, row, land) for slot, row in zip(slots, inputs, strict=True)])

    send()
    took: float = await ended
    for slot in slots:
        batcher.retire(slot)
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
