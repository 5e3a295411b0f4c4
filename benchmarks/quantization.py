"""The benchmark `quantization`: a step in int8 beside float32, its time and its error.

Owns sizes, batches and what is timed: calls of the server's engine with nothing around them, in
turns, so that whatever else the machine does falls on both.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks import cores, machine
from benchmarks.benchmark import Benchmark
from benchmarks.report import Column, Record
from benchmarks.tick import bare_rate
from export.exporter import export_model
from export.forms import STEP, STEP_INT8, Form
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from service.artifacts import artifact
from service.runtime.engine import Engine

_DESCRIPTION = """\
What `python -m export --quantize int8` gives and costs: the time of a step of random networks on
one core beside float32, and how far outputs and states of long runs are off from float64. 128
units, which the export refuses, show why.

example:
  python -m benchmarks quantization
"""


class Size(NamedTuple):
    """A network: numbers of an input step, of a layer's state, and layers."""

    features: int
    hidden: int
    layers: int


class Contender(NamedTuple):
    """One precision: its engine, and its worst errors against float64."""

    engine: Engine
    output_error: float
    state_error: float


_SIZES = (Size(32, 128, 2), Size(32, 256, 1), Size(64, 256, 2), Size(32, 512, 1), Size(128, 512, 2))
_QUICK_SIZES = (Size(4, 16, 1),)
_BATCHES = (1, 32, 128)
_OUTPUTS = 8
_SECONDS, _QUICK_SECONDS = 0.05, 0.005
_TURNS, _QUICK_TURNS = 15, 3
_PROOF = ProofSettings(
    reference_steps=1000, reference_batches=(8,), company_batches=(2, 32), chunked_steps=4
)
_QUICK_PROOF = replace(_PROOF, reference_steps=20)
_FORMS = (STEP, replace(STEP_INT8, smallest_hidden=1))


def measure(options: argparse.Namespace) -> list[Record]:
    """A record for each size and batch; times are medians over the turns."""
    sizes, proof = (_QUICK_SIZES, _QUICK_PROOF) if options.quick else (_SIZES, _PROOF)
    seconds, turns = (_QUICK_SECONDS, _QUICK_TURNS) if options.quick else (_SECONDS, _TURNS)
    records = []
    with tempfile.TemporaryDirectory() as folder, cores.pinned(cores.choose().server):
        for size in sizes:
            both = [_contender(Path(folder), size, form, proof) for form in _FORMS]
            records += [_compare(size, both, rows, seconds, turns) for rows in _BATCHES]
    return records


def _contender(folder: Path, size: Size, form: Form, settings: ProofSettings) -> Contender:
    """Exports a network in a form, and opens it as the server does."""
    path = folder / "model" / "1" / "model.onnx"
    proof = export_model(random_model(random_network(*size, _OUTPUTS)), path, form, settings)
    worst = {one.check: one.worst_error for one in proof.comparisons}
    engine = Engine(artifact.load(path), provider="cpu", max_batch=max(_BATCHES))
    random = np.random.default_rng(0)
    engine.inputs[:] = random.normal(size=engine.inputs.shape)
    engine.states[:] = random.uniform(-0.5, 0.5, size=engine.states.shape)
    return Contender(engine, worst["reference outputs"], worst["reference states"])


def _compare(
    size: Size, both: Sequence[Contender], rows: int, seconds: float, turns: int
) -> Record:
    """Turns of both precisions at one batch size."""
    exact, rounded = both
    times = [
        [1e6 * rows / bare_rate(one.engine, rows, seconds) for one in both] for _ in range(turns)
    ]
    return {
        "benchmark": "quantization",
        **size._asdict(),
        "batch": rows,
        "size": f"({size.features},{size.hidden},{size.layers})",
        "float32_microseconds": median(one for one, _ in times),
        "int8_microseconds": median(other for _, other in times),
        "times_float32": median(one / other for one, other in times),
        "float32_output_error": exact.output_error,
        "int8_output_error": rounded.output_error,
        "int8_state_error": rounded.state_error,
        "turns": turns,
        **machine.describe(),
    }


BENCHMARK = Benchmark(
    name="quantization",
    summary="a step in int8 beside float32: its time and its error",
    description=_DESCRIPTION,
    add_arguments=lambda parser: None,
    measure=measure,
    columns=(
        Column("size", "size"),
        Column("batch", "batch"),
        Column("float32 µs", "float32_microseconds", ".0f"),
        Column("int8 µs", "int8_microseconds", ".0f"),
        Column("times float32", "times_float32", ".2f"),
        Column("worst output error", "int8_output_error", ".1e"),
        Column("worst state error", "int8_state_error", ".1e"),
    ),
)
