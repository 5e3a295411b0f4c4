"""The benchmark `training`: forward and backward through a layer, beside torch's nn.GRU.

Owns the order of the trials, the clock, and the check that all compute the same. The contenders
take turns within every repeat, so that a busy moment of the machine meets them all.
"""

import argparse
import time
from statistics import median

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.benchmark import Benchmark, add_repeats
from benchmarks.errors import BenchmarkError
from benchmarks.report import Column, Record
from benchmarks.training.contenders import TORCH_GRU, Contender, Size, make_contenders

SIZES = (
    Size(64, 16, 16, 64),
    Size(128, 32, 32, 128),
    Size(128, 64, 64, 256),
    Size(256, 128, 88, 256),
)
_QUICK_SIZES = (Size(16, 4, 8, 16),)
_THREADS = (1, 2)
# Of float32 sums of thousands of products, relative to the largest value.
_TOLERANCE = 1e-4
_DESCRIPTION = """\
Times forward and backward of one recurrent layer over whole sequences: torch's own nn.GRU (which
has the reset-after cell only), and ours in both forms: compiled, as torch operations, and as the
plain loop under automatic differentiation. (T,B,I,H) is steps, batch, inputs, hidden. The same
cells are first checked to give the same states and weight gradients.

example:
  python -m benchmarks training --repeats 9
"""


def measure(options: argparse.Namespace) -> list[Record]:
    """All contenders, sizes and numbers of threads.

    Raises:
        BenchmarkError: two that should compute the same don't.
    """
    sizes = _QUICK_SIZES if options.quick else SIZES
    threads_before = torch.get_num_threads()
    records = []
    try:
        for threads in _THREADS:
            torch.set_num_threads(threads)
            for size in sizes:
                print(f"{threads} thread{'s' * (threads > 1)}, {size}", flush=True)
                records += _measure_size(size, threads, 2 if options.quick else options.repeats)
    finally:
        torch.set_num_threads(threads_before)
    return records


def _measure_size(size: Size, threads: int, repeats: int) -> list[Record]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(size.steps, size.batch, size.inputs, generator=generator)
    by_states = torch.randn(size.steps, size.batch, size.hidden, generator=generator)
    contenders = make_contenders(size, generator)
    errors = compare(contenders, inputs, by_states)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(repeats):
        for contender in contenders:
            started = time.perf_counter()
            contender.gradient(inputs, by_states)
            seconds[contender.name].append(time.perf_counter() - started)
    records = []
    for name, times in seconds.items():
        record: Record = {
            "benchmark": "training",
            "size": str(size),
            "threads": threads,
            "layer": name,
            "repeats": repeats,
            "milliseconds": 1e3 * median(times),
            "milliseconds_lowest": 1e3 * min(times),
            "milliseconds_highest": 1e3 * max(times),
            "times_nn_gru": median(seconds[TORCH_GRU]) / median(times),
            "worst_difference": errors[name],
        }
        records.append(record | machine.describe())
    return records


def compare(contenders: list[Contender], inputs: Tensor, by_states: Tensor) -> dict[str, float]:
    """The worst difference of each from the first of its cell form; also warms them up.

    Raises:
        BenchmarkError: it is above the tolerance.
    """
    errors: dict[str, float] = {}
    first: dict[bool, tuple[Tensor, Tensor]] = {}
    for contender in contenders:
        states = contender.gradient(inputs, by_states).detach()
        # The input weights' gradient; gates in their own order, of which the norm knows nothing.
        gradient = contender.parameters[0].grad
        assert gradient is not None
        own = states, torch.linalg.vector_norm(gradient)
        wanted = first.setdefault(contender.reset_after, own)
        pairs = zip(own, wanted, strict=True)
        errors[contender.name] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
        if not errors[contender.name] <= _TOLERANCE:
            raise BenchmarkError(
                f"{contender.name} differs from others of its cell by {errors[contender.name]:.1e}"
            )
    return errors


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_repeats(parser, 9, "of each; the median counts")


BENCHMARK = Benchmark(
    name="training",
    summary="forward and backward of a recurrent layer, beside torch.nn.GRU",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=measure,
    columns=(
        Column("layer", "layer"),
        Column("(T,B,I,H)", "size"),
        Column("threads", "threads"),
        Column("ms", "milliseconds", ".2f"),
        Column("times nn.GRU", "times_nn_gru", ".2f"),
        Column("worst difference", "worst_difference", ".0e"),
    ),
)
