"""All benchmarks by name."""

from benchmarks import durability, overload, quantization, tick
from benchmarks.benchmark import Benchmark
from benchmarks.scoring import measure as scoring
from benchmarks.serving import command as serving
from benchmarks.training import published, speed

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (serving, durability, overload, tick, scoring, quantization, speed, published)
}
