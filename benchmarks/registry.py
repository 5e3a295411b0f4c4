"""All benchmarks by name."""

from benchmarks import serving
from benchmarks.benchmark import Benchmark
from benchmarks.training import speed

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (serving.BENCHMARK, speed.BENCHMARK)
}
