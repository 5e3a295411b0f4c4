"""The benchmark `serving`: Statewise beside a plain server, on one core, under the same load.

Owns what is run in which order. The servers take turns (A B A B ...), each freshly started, so that
whatever else the machine does falls on both. Knows nothing of how a load is made, a server started
or a record written.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from benchmarks import cores, model, processes, trial
from benchmarks.benchmark import Benchmark
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.cores import Cores
from benchmarks.errors import SettingsError
from benchmarks.load.settings import LoadSettings
from benchmarks.report import Record
from benchmarks.serving_records import COLUMNS, Samples, summarize
from benchmarks.trial import Trial

_DESCRIPTION = """\
Streams that send one step a message and wait for its result, against Statewise and against a plain
grpc.aio server that runs the model once a message. Each server has one core, the load another;
every answer is compared with the model's own. Where a server takes less than all of its core under
many streams, other work held it up, and the figures are not its own.

example:
  python -m benchmarks serving --repeats 3 --seconds 5
"""


@dataclass(frozen=True)
class ServingSettings:
    """How much is measured.

    Attributes:
        repeats: turns of each server; the median of 5 stands two disturbed ones.
        seconds: measured in each turn, for each load; the kernel counts processor time in
            hundredths, which 5 seconds make a fifth of a percent.
        warmup_seconds: load before that, in which caches and windows fill.
        streams: at once; one stream alone is always measured too.
        connections: HTTP/2 connections that carry them. From 1 to 16, neither server's cost a step
            changes by more than its noise; at 64, one a stream, both cost 10 to 30% more.
    """

    repeats: int = 5
    seconds: float = 5.0
    warmup_seconds: float = 1.0
    streams: int = 64
    connections: int = 4

    def __post_init__(self) -> None:
        """Refuses what can't be measured."""
        for name in ("repeats", "streams", "connections"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; take 1 or more")
        if self.seconds <= 0:
            raise SettingsError(f"seconds is {self.seconds:g}; take more than 0")


_QUICK = ServingSettings(repeats=1, seconds=0.5, warmup_seconds=0.2)


def measure(settings: ServingSettings) -> list[Record]:
    """Runs every server under every load and returns a record for each pair.

    Raises:
        BenchmarkError: a server or a load failed, or an answer was wrong.
    """
    both = cores.choose()
    samples: Samples = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, cores.pinned(both.load):
        repository = Path(folder)
        model.make(repository)
        for turn in range(1, settings.repeats + 1):
            for contender in CONTENDERS:
                print(f"turn {turn} of {settings.repeats}: {contender.name}", file=sys.stderr)
                for one in _take_turn(contender, repository, settings, both):
                    samples[contender.name, one.load.streams].append(one)
    return summarize(samples)


def _take_turn(
    contender: Contender, repository: Path, settings: ServingSettings, both: Cores
) -> Iterator[Trial]:
    """Starts a server and puts every load on it."""
    loads = {settings.streams: min(settings.connections, settings.streams), 1: 1}
    with processes.serving(contender.command(repository), both.server) as server:
        for streams, connections in loads.items():
            load = LoadSettings(
                host="127.0.0.1",
                port=server.port,
                model=model.NAME,
                streams=streams,
                connections=connections,
                warmup_seconds=settings.warmup_seconds,
                seconds=settings.seconds,
                server_pid=server.pid,
            )
            yield trial.run(load, both.load, model.path(repository), contender.tolerance)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    texts = {
        "repeats": "turns of each server",
        "seconds": "measured in each turn, for each load",
        "warmup_seconds": "load before that",
        "streams": "at once; one alone is always measured too",
        "connections": "HTTP/2 connections that carry them",
    }
    for setting in fields(ServingSettings):
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=type(setting.default),
            metavar="N",
            help=f"{texts[setting.name]} ({setting.default})",
        )


def _measure(options: argparse.Namespace) -> list[Record]:
    names = [setting.name for setting in fields(ServingSettings)]
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return measure(replace(_QUICK if options.quick else ServingSettings(), **given))


BENCHMARK = Benchmark(
    name="serving",
    summary="steps a second, processor time and latency of the server, beside a plain one",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=_measure,
    columns=COLUMNS,
)
