"""The benchmark `durability`: what checkpoints cost a server that is busy.

Owns the stores that are compared and the order of turns: one server after another, each freshly
started, A B A B, so that whatever else the machine does falls on all. Knows nothing of how a load
is made.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import cores, machine, model, processes, redis_server
from benchmarks.benchmark import Benchmark, add_repeats
from benchmarks.cores import Cores
from benchmarks.errors import PeerMissingError
from benchmarks.load.settings import LoadReport, LoadSettings
from benchmarks.report import Column, Record
from benchmarks.serving import trial

_DESCRIPTION = """\
Steps a second of a server at 64 streams, one step a message, whose states go to an SQLite file or
to Redis, beside the same server that keeps them in memory alone. The server has one core, the load
the other, where Redis runs too. Every answer is compared with the model's own.

example:
  python -m benchmarks durability
"""
_MEMORY = "memory:"
_REPEATS, _SECONDS, _WARMUP = 5, 4.0, 1.0
_QUICK_REPEATS, _QUICK_SECONDS, _QUICK_WARMUP = 1, 0.4, 0.1


def _measure(options: argparse.Namespace) -> list[Record]:
    repeats = _QUICK_REPEATS if options.quick else options.repeats
    both = cores.choose()
    reports: dict[str, list[LoadReport]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        cores.pinned(both.load),
        _stores(Path(folder)) as stores,
    ):
        repository = Path(folder) / "models"
        model.make(repository)
        for turn in range(repeats):
            for name, url in stores.items():
                print(f"turn {turn + 1} of {repeats}: {name}", file=sys.stderr)
                reports[name].append(_turn(repository, url, both, options))
    return [_record(name, options.streams, reports) for name in stores]


@contextmanager
def _stores(folder: Path) -> Iterator[dict[str, str]]:
    """URLs by name; Redis is left out where it is not installed."""
    urls = {"memory": _MEMORY, "SQLite": f"sqlite:{folder / 'states.db'}"}
    try:
        with redis_server.running(folder) as url:
            yield urls | {"Redis": url}
    except PeerMissingError as error:
        print(f"left out: {error}", file=sys.stderr)
        yield urls


def _turn(repository: Path, url: str, both: Cores, options: argparse.Namespace) -> LoadReport:
    """One server with one store under load."""
    command = [
        *(sys.executable, "-m", "service", "serve", "--model-repository", str(repository)),
        *("--port", "0", "--metrics-port", "0", "--state-store", url),
    ]
    with processes.serving(command, both.server) as server:
        load = LoadSettings(
            host="127.0.0.1",
            port=server.port,
            model=model.NAME,
            streams=options.streams,
            connections=1,
            warmup_seconds=_QUICK_WARMUP if options.quick else _WARMUP,
            seconds=_QUICK_SECONDS if options.quick else options.seconds,
            server_pid=server.pid,
        )
        return trial.run(load, both.load, model.path(repository), tolerance=0.0).report


def _record(name: str, streams: int, reports: dict[str, list[LoadReport]]) -> Record:
    """Medians over the turns; shares are of the same turn's server without a durable store."""
    mine, plain = reports[name], [one.steps / one.seconds for one in reports["memory"]]
    rates = [one.steps / one.seconds for one in mine]
    return {
        **machine.describe(),
        "store": name,
        "streams": streams,
        "turns": len(rates),
        "steps_per_second": median(rates),
        "share_of_memory": median(a / b for a, b in zip(rates, plain, strict=True)),
        "server_us_per_step": median(one.server_cpu_seconds / one.steps * 1e6 for one in mine),
        "p50_ms": median(one.latency_p50_ms for one in mine),
        "p99_ms": median(one.latency_p99_ms for one in mine),
    }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=64, metavar="N", help="at once (64)")
    add_repeats(parser, _REPEATS, "turns of each")
    parser.add_argument(
        "--seconds",
        type=float,
        default=_SECONDS,
        metavar="S",
        help=f"measured in each turn ({_SECONDS:g})",
    )


_COLUMNS: Sequence[Column] = (
    Column("store", "store"),
    Column("streams", "streams"),
    Column("steps/s", "steps_per_second", ",.0f"),
    Column("share of memory", "share_of_memory", ".1%"),
    Column("server µs/step", "server_us_per_step", ".1f"),
    Column("p50 ms", "p50_ms", ".2f"),
    Column("p99 ms", "p99_ms", ".2f"),
)

BENCHMARK = Benchmark(
    name="durability",
    summary="what checkpoints to SQLite and Redis cost a busy server",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=_measure,
    columns=tuple(_COLUMNS),
)
