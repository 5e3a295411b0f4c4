"""The benchmark `scoring`: Statewise's batch scoring beside three other ways to do the same.

Owns the order of the measurement and what is written of it. Answers are compared before a figure
is told.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import cores, machine
from benchmarks.benchmark import Benchmark
from benchmarks.errors import WrongAnswerError
from benchmarks.report import Column, Record
from benchmarks.scoring import contenders, memory, workload
from benchmarks.scoring.workload import Workload

_DESCRIPTION = """\
10,000 entities with log-normal lengths from 1 to 5,000 steps, (32,128,2) to 8 outputs.

On one core, reading excluded: bare calls of ONNX Runtime at its best batch and Statewise's lanes,
with checks and the writing of answers, by turns, of which the medians are told; a call of the fused
GRU graph an entity; torch.nn.GRU over padded batches. On all cores, from file to file and starting
included: `score` with one and two workers, and Ray Data with map_batches and a call an entity. What
is slow takes the first entities only. A figure on all cores is told with what other processes used
of them: it says little unless that is near nothing.

The memory of `score` beyond what its imports take: --memory 400 and --memory 200 for tables of
2,000 MB of 128 features, sorted and mixed.

examples:
  python -m benchmarks scoring
  python -m benchmarks scoring --parts memory
"""
_PARTS = ("core", "files", "memory")
_ENTITIES, _QUICK_ENTITIES = 10_000, 60
_SLOW_SHARE = 10
_RAW_SECONDS, _QUICK_RAW_SECONDS = 3.0, 0.2
_ROUNDS = 3
# Other kernels than the step graph's: float32 over thousands of steps.
_TOLERANCE = 1e-4
_MEMORIES, _TABLE, _QUICK_TABLE = (400, 200), 2_000, 20
Float32 = NDArray[np.float32]


def measure(options: argparse.Namespace) -> list[Record]:
    """A record for each contender."""
    entities = _QUICK_ENTITIES if options.quick else _ENTITIES
    with tempfile.TemporaryDirectory() as folder:
        work = workload.make(Path(folder), entities)
        records: list[Record] = []
        if "core" in options.parts:
            with cores.pinned(cores.choose().server):
                records += _on_one_core(work, options)
        if "files" in options.parts:
            records += _from_file_to_file(work)
        if "memory" in options.parts:
            records += _memory(work, options)
        return records


def _on_one_core(work: Workload, options: argparse.Namespace) -> list[Record]:
    seconds = _QUICK_RAW_SECONDS if options.quick else _RAW_SECONDS
    rows, lanes, bare = len(work.features), contenders.Lanes(work), contenders.Bare(work)
    batch = bare.best_batch(seconds)
    rates, turns, answers = [bare.rate(batch, seconds)], list[float](), np.zeros((0, 0), np.float32)
    # By turns, since the machine is seldom as fast as it was.
    for _ in range(_ROUNDS):
        duration, answers = lanes.run()
        turns.append(duration)
        rates.append(bare.rate(batch, seconds))
    beside = [(one + other) / 2 for one, other in pairwise(rates)]
    shares = [rows / duration / rate for duration, rate in zip(turns, beside, strict=True)]
    raw = statistics.median(rates)
    some = max(1, len(work.lengths) // _SLOW_SHARE)
    records = [
        _record("ONNX Runtime alone, best batch", rows, rows / raw, raw, 0) | {"batch": batch},
        _record("statewise lanes", rows, statistics.median(turns), raw, len(work.lengths))
        | {"share_percent": 100 * statistics.median(shares), "rounds": _ROUNDS},
    ]
    peers: dict[str, Callable[[Workload, int], tuple[float, Float32]]] = {
        "session.run an entity, fused GRU": contenders.session_an_entity,
        "torch.nn.GRU, padded batches": contenders.torch_padded,
    }
    for name, score in peers.items():
        took, others = score(work, some)
        _require(name, others, answers[: len(others)])
        records.append(_record(name, len(others), took, raw, some))
    return records


def _from_file_to_file(work: Workload) -> list[Record]:
    rows, entities = len(work.features), len(work.lengths)
    ways: dict[str, Callable[[], float]] = {
        "score, 1 worker, files": lambda: contenders.command(work, 1),
        "score, 2 workers, files": lambda: contenders.command(work, 2),
        "Ray Data map_batches, files": lambda: contenders.ray_plain(work),
    }
    records = []
    for name, score in ways.items():
        before = _others()
        record = _record(name, rows, score(), None, entities)
        records.append(record | {"others_cpu_seconds": _others() - before})
    return records


def _others() -> float:
    """Processor time that others than this process and its children, once ended, have used."""
    return cores.machine_cpu_seconds() - sum(os.times()[:4])


def _memory(work: Workload, options: argparse.Namespace) -> list[Record]:
    megabytes = _QUICK_TABLE if options.quick else _TABLE
    table, output = work.folder / "large.parquet", work.folder / "large.answers.parquet"
    model = memory.make_model(work.folder)
    companies: tuple[memory.Company, ...] = ("sorted", "mixed")
    records = []
    for company in companies:
        rows = memory.make(table, megabytes, memory.FEATURES, company)
        for allowed in _MEMORIES:
            name = f"memory, {company}, {allowed} MB allowed"
            print(f"scoring {name}: {rows:,} rows of {megabytes:,} MB", file=sys.stderr)
            took = memory.measure(model, table, output, allowed)
            record = _record(name, took.rows, took.seconds, None, memory.entities(rows))
            sizes: Record = {"table_megabytes": megabytes, "peak_megabytes": took.megabytes}
            records.append(record | sizes)
    return records


def _require(name: str, answers: Float32, expected: Float32) -> None:
    error = float(np.abs(answers - expected).max())
    # Written so that NaN fails.
    if not error <= _TOLERANCE:
        raise WrongAnswerError(
            f"{name} is off by {error:.3g}, tolerance {_TOLERANCE:g}; wrong answers get no figures"
        )


def _record(name: str, rows: int, seconds: float, raw: float | None, entities: int) -> Record:
    rate = rows / seconds
    share: Record = {} if raw is None else {"share_percent": 100 * rate / raw}
    return {
        "benchmark": "scoring",
        "contender": name,
        "entities": entities,
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": rate,
        "share_percent": 0.0,
        **share,
        **machine.describe(),
    }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=_PARTS,
        default=_PARTS,
        help="measure only these; records of the others stay as they are",
    )


BENCHMARK = Benchmark(
    name="scoring",
    summary="batch scoring beside a call an entity, padded batches and Ray Data",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    identity="contender",
    measure=measure,
    columns=(
        Column("contender", "contender"),
        Column("entities", "entities", ",d"),
        Column("rows", "rows", ",d"),
        Column("seconds", "seconds", ".1f"),
        Column("rows/s", "rows_per_second", ",.0f"),
        Column("of ONNX Runtime %", "share_percent", ".1f"),
        Column("others' cpu s", "others_cpu_seconds", ".1f"),
        Column("peak MB", "peak_megabytes", ",.0f"),
    ),
)
