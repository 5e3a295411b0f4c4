"""The benchmark `scoring`: Statewise's batch scoring beside three other ways to do the same.

Owns the order of the measurement and what is written of it. Answers are compared before a figure
is told.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import cores, machine
from benchmarks.benchmark import Benchmark
from benchmarks.errors import WrongAnswerError
from benchmarks.report import Column, Record
from benchmarks.scoring import contenders, workload
from benchmarks.scoring.workload import Workload

_DESCRIPTION = """\
10,000 entities with log-normal lengths from 1 to 5,000 steps, (32,128,2) to 8 outputs.

On one core, reading excluded: bare calls of ONNX Runtime at its best batch; Statewise's lanes, with
checks and the writing of answers; a call of the fused GRU graph an entity; torch.nn.GRU over padded
batches. On all cores, from file to file and starting included: `score` with one and two workers,
and Ray Data with map_batches and a call an entity. What is slow takes the first entities only.

example:
  python -m benchmarks scoring
"""
_ENTITIES, _QUICK_ENTITIES = 10_000, 60
_SLOW_SHARE = 10
_RAW_SECONDS, _QUICK_RAW_SECONDS = 4.0, 0.2
# Other kernels than the step graph's: float32 over thousands of steps.
_TOLERANCE = 1e-4
Float32 = NDArray[np.float32]


def measure(options: argparse.Namespace) -> list[Record]:
    """A record for each contender."""
    entities = _QUICK_ENTITIES if options.quick else _ENTITIES
    with tempfile.TemporaryDirectory() as folder:
        work = workload.make(Path(folder), entities)
        with cores.pinned(cores.choose().server):
            records = _on_one_core(work, options)
        return records + _from_file_to_file(work)


def _on_one_core(work: Workload, options: argparse.Namespace) -> list[Record]:
    seconds = _QUICK_RAW_SECONDS if options.quick else _RAW_SECONDS
    # Before and after, since the machine is seldom as fast as it was.
    before, _ = contenders.onnxruntime_alone(work, seconds)
    took, answers = contenders.Lanes(work).run()
    after, batch = contenders.onnxruntime_alone(work, seconds)
    raw, rows = max(before, after), len(work.features)
    some = max(1, len(work.lengths) // _SLOW_SHARE)
    records = [
        _record(f"ONNX Runtime alone, batch {batch}", rows, rows / raw, raw, 0),
        _record("statewise lanes", rows, took, raw, len(work.lengths)),
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
    return [
        _record("score, 1 worker, files", rows, contenders.command(work, 1), None, entities),
        _record("score, 2 workers, files", rows, contenders.command(work, 2), None, entities),
        _record("Ray Data map_batches, files", rows, contenders.ray_plain(work), None, entities),
    ]


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


BENCHMARK = Benchmark(
    name="scoring",
    summary="batch scoring beside a call an entity, padded batches and Ray Data",
    description=_DESCRIPTION,
    add_arguments=lambda parser: None,
    measure=measure,
    columns=(
        Column("contender", "contender"),
        Column("entities", "entities", ",d"),
        Column("rows", "rows", ",d"),
        Column("seconds", "seconds", ".1f"),
        Column("rows/s", "rows_per_second", ",.0f"),
        Column("of ONNX Runtime %", "share_percent", ".1f"),
    ),
)
