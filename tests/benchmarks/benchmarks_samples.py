"""Trials that were never run, for tests of what is made of them."""

from benchmarks.load.settings import LoadReport
from benchmarks.model import USUAL
from benchmarks.processes import Server
from benchmarks.serving.agreement import Agreement
from benchmarks.serving.cases import Case, Load, Visit
from benchmarks.serving.contenders import STATEWISE, Contender
from benchmarks.serving.settings import PartName, ServingSettings
from benchmarks.serving.trial import Trial


def case(
    contender: Contender = STATEWISE,
    part: PartName = "closed",
    streams: int = 64,
    workers: int = 1,
    rate: float = 0.0,
) -> Case:
    load = Load(streams, min(4, streams), rate=rate, idle=part == "idle")
    return Case(Visit(part, contender, (load,), USUAL, workers), load)


def sample(
    one: Case,
    steps: int = 1000,
    server_cpu: float = 1.0,
    load_cpu: float = 0.25,
    other_cpu: float = 0.0,
    p50: float = 2.0,
) -> Trial:
    """A second of a load."""
    report = LoadReport(
        steps=0 if one.load.idle else steps,
        seconds=1.0,
        load_cpu_seconds=load_cpu,
        server_cpu_seconds=server_cpu,
        other_cpu_seconds=other_cpu,
        latency_p50_ms=p50,
        latency_p90_ms=2 * p50,
        latency_p99_ms=3 * p50,
        latency_p999_ms=4 * p50,
        idle_bytes_per_stream=2048.0,
    )
    settings = one.load_settings(Server(1, 1), ServingSettings(seconds=1.0))
    return Trial(settings, report, Agreement(steps, 0, 0.0, ""))
