"""The benchmark `overload`: what those who are let in notice of those who are not.

Owns the phases of a turn, on one fresh server: its rate in a closed loop, 80% of that sent when it
is due, the same beside four times as many callers for whom there is no room, and the same again
once these are gone. Knows nothing of how a load is made.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks import cores, machine, model, processes
from benchmarks.benchmark import Benchmark
from benchmarks.cores import Cores
from benchmarks.load.settings import LoadReport, LoadSettings
from benchmarks.processes import Server
from benchmarks.report import Column, Record
from benchmarks.serving import trial

_DESCRIPTION = """\
A server with room for so many streams (--max-streams), which together send 80% of what it can
compute, each step when it is due. Then five times as many callers come: those for whom there is no
room are refused, wait for as long as they are told, and come again. Then they are gone, and other
streams come. Beside that stands what is noticed where all that are in send more than the server can
take, each its next step as soon as the last is answered. Latency counts from when a step was due;
every answer is compared with the model's.

example:
  python -m benchmarks overload
"""
_SHARE = 0.8
_TIMES = 5
_CONNECTIONS = 4
_REPEATS, _SECONDS, _WARMUP = 5, 3.0, 0.5
_QUICK_REPEATS, _QUICK_SECONDS, _QUICK_WARMUP = 1, 0.5, 0.1
_BEFORE, _OVERLOAD, _AFTER = "80% load", f"{_TIMES} times as many callers", "afterwards"
_CLOSED = "as fast as answered"
_PHASES = (_BEFORE, _OVERLOAD, _AFTER, _CLOSED)


def _measure(options: argparse.Namespace) -> list[Record]:
    repeats = _QUICK_REPEATS if options.quick else options.repeats
    both = cores.choose()
    turns: list[dict[str, LoadReport]] = []
    with tempfile.TemporaryDirectory() as folder, cores.pinned(both.load):
        repository = Path(folder)
        model.make(repository)
        for turn in range(repeats):
            print(f"turn {turn + 1} of {repeats}", file=sys.stderr)
            turns.append(_turn(repository, both, options))
    return [_record(phase, options.streams, turns) for phase in _PHASES]


def _turn(repository: Path, both: Cores, options: argparse.Namespace) -> dict[str, LoadReport]:
    """All phases on one server."""
    command = [
        *(sys.executable, "-m", "service", "serve", "--model-repository", str(repository)),
        *("--port", "0", "--metrics-port", "0", "--max-streams", str(options.streams)),
    ]
    with processes.serving(command, both.server) as server:

        def load(rate: float = 0.0, surplus: int = 0) -> LoadReport:
            settings = _load(server, options, rate, surplus)
            return trial.run(settings, both.load, model.path(repository), tolerance=0.0).report

        closed = load()
        rate = _SHARE * closed.steps / closed.seconds
        surplus = (_TIMES - 1) * options.streams
        return {
            _CLOSED: closed,
            _BEFORE: load(rate),
            _OVERLOAD: load(rate, surplus),
            _AFTER: load(rate),
        }


def _load(server: Server, options: argparse.Namespace, rate: float, surplus: int) -> LoadSettings:
    return LoadSettings(
        host="127.0.0.1",
        port=server.port,
        model=model.NAME,
        streams=options.streams,
        connections=min(_CONNECTIONS, options.streams),
        warmup_seconds=_QUICK_WARMUP if options.quick else _WARMUP,
        seconds=_QUICK_SECONDS if options.quick else options.seconds,
        server_pid=server.pid,
        rate=rate,
        surplus=surplus,
    )


def _record(phase: str, streams: int, turns: Sequence[dict[str, LoadReport]]) -> Record:
    """Medians over the turns; the share is of the same turn's p99 without the surplus."""
    figures: dict[str, list[float]] = defaultdict(list)
    for turn in turns:
        one, before = turn[phase], turn[_BEFORE]
        figures["steps_per_second"].append(one.steps / one.seconds)
        figures["p99_times_before"].append(one.latency_p99_ms / before.latency_p99_ms)
        figures["server_cores"].append(one.server_cpu_seconds / one.seconds)
        figures["refusals_per_second"].append(one.refused / one.seconds)
        figures["others_core_share"].append(one.other_cpu_seconds / one.seconds)
        for name in ("latency_p50_ms", "latency_p99_ms", "late_p99_ms"):
            figures[name].append(getattr(one, name))
        if one.refused:
            figures["refused_p50_ms"].append(one.refused_p50_ms)
            figures["refused_p99_ms"].append(one.refused_p99_ms)
    reports = [turn[phase] for turn in turns]
    return {
        **machine.describe(),
        "phase": phase,
        "streams": streams,
        "callers": streams * (_TIMES if phase == _OVERLOAD else 1),
        "turns": len(turns),
        # Over all turns: none is allowed.
        "refused_otherwise": sum(one.refused_otherwise for one in reports),
        "let_in": sum(one.let_in for one in reports),
        **{name: median(values) for name, values in figures.items()},
    }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=64, metavar="N", help="let in (64)")
    parser.add_argument(
        "--repeats", type=int, default=_REPEATS, metavar="N", help=f"turns ({_REPEATS})"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=_SECONDS,
        metavar="S",
        help=f"measured in each phase ({_SECONDS:g})",
    )


_COLUMNS: Sequence[Column] = (
    Column("phase", "phase"),
    Column("let in", "streams"),
    Column("callers", "callers"),
    Column("steps/s", "steps_per_second", ",.0f"),
    Column("p50 ms", "latency_p50_ms", ".2f"),
    Column("p99 ms", "latency_p99_ms", ".2f"),
    Column("p99 times before", "p99_times_before", ".2f"),
    Column("refusals/s", "refusals_per_second", ".0f"),
    Column("told otherwise", "refused_otherwise"),
    Column("refusal p50 ms", "refused_p50_ms", ".1f"),
    Column("p99 ms", "refused_p99_ms", ".1f"),
    Column("server cores", "server_cores", ".2f"),
    Column("others' cores", "others_core_share", ".2f"),
)

BENCHMARK = Benchmark(
    name="overload",
    summary="five times the callers that there is room for: p99 of those let in, refusals",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=_measure,
    columns=tuple(_COLUMNS),
)
