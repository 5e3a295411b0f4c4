"""The benchmark `overload`: what those who are let in notice of those who are not.

Owns the phases of a turn, on one server: its rate in a closed loop, then 80% of that sent when
it is due, alone, beside four times as many callers for whom there is no room, and alone again once
these are gone. Knows nothing of how a load is made.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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
room are refused, wait for as long as they are told, and come again. Then they are gone. Beside that
stands what is noticed where all that are in send more than the server can take, each its next step
as soon as the last is answered. Latency counts from when a step was due; every answer is compared
with the model's.

example:
  python -m benchmarks overload
"""
_SHARE = 0.8
_TIMES = 5
_CONNECTIONS = 4
_REPEATS, _SECONDS, _WARMUP = 12, 3.0, 0.5
_QUICK_REPEATS, _QUICK_SECONDS, _QUICK_WARMUP = 1, 0.5, 0.1
_BEFORE, _OVERLOAD, _AFTER = "80% load", f"{_TIMES} times as many callers", "afterwards"
_CLOSED = "as fast as answered"
_PERCENTILES = ("p50", "p90", "p99")
_PHASES = (_BEFORE, _OVERLOAD, _AFTER, _CLOSED)


@dataclass(frozen=True)
class _Turn:
    """What one server was measured at.

    Attributes:
        closed: the streams as fast as they are answered.
        beside: the streams at a rate, before the others came, beside them, and when they were gone.
    """

    closed: LoadReport
    beside: LoadReport

    def figures(self, phase: str) -> dict[str, float]:
        """A phase's; its p99 is also told as a multiple of that before the others came."""
        report = vars(self.closed if phase == _CLOSED else self.beside)
        when = {_BEFORE: "before", _AFTER: "after"}.get(phase, "latency")
        found = {f"latency_{part}_ms": report[f"{when}_{part}_ms"] for part in _PERCENTILES}
        found["p99_times_before"] = found["latency_p99_ms"] / self.beside.before_p99_ms
        if phase in (_OVERLOAD, _CLOSED):
            for name in ("steps", "server_cpu_seconds", "other_cpu_seconds", "refused"):
                found[f"{name}_per_second"] = report[name] / report["seconds"]
            found["late_p99_ms"] = report["late_p99_ms"]
        if phase == _OVERLOAD:
            found |= {name: report[name] for name in ("refused_p50_ms", "refused_p99_ms")}
        return found


def _measure(options: argparse.Namespace) -> list[Record]:
    repeats = _QUICK_REPEATS if options.quick else options.repeats
    both = cores.choose()
    turns: list[_Turn] = []
    with tempfile.TemporaryDirectory() as folder, cores.pinned(both.load):
        repository = Path(folder)
        model.make(repository)
        for turn in range(repeats):
            print(f"turn {turn + 1} of {repeats}", file=sys.stderr)
            turns.append(_turn(repository, both, options))
    return [_record(phase, options.streams, turns) for phase in _PHASES]


def _turn(repository: Path, both: Cores, options: argparse.Namespace) -> _Turn:
    """Both loads on one server."""
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
        return _Turn(closed, load(rate, surplus=(_TIMES - 1) * options.streams))


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


def _record(phase: str, streams: int, turns: Sequence[_Turn]) -> Record:
    """Medians over the turns."""
    figures: dict[str, list[float]] = defaultdict(list)
    for turn in turns:
        for name, value in turn.figures(phase).items():
            figures[name].append(value)
    crowds = [turn.beside for turn in turns if phase == _OVERLOAD]
    return {
        **machine.describe(),
        "phase": phase,
        "streams": streams,
        "callers": streams * (_TIMES if crowds else 1),
        "turns": len(turns),
        # Over all turns: none is allowed.
        "refused_otherwise": sum(one.refused_otherwise for one in crowds),
        "let_in": sum(one.let_in for one in crowds),
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
    Column("p90 ms", "latency_p90_ms", ".2f"),
    Column("p99 ms", "latency_p99_ms", ".2f"),
    Column("p99 times before", "p99_times_before", ".2f"),
    Column("refusals/s", "refused_per_second", ".0f"),
    Column("told otherwise", "refused_otherwise"),
    Column("refusal p50 ms", "refused_p50_ms", ".1f"),
    Column("p99 ms", "refused_p99_ms", ".1f"),
    Column("server cores", "server_cpu_seconds_per_second", ".2f"),
    Column("others' cores", "other_cpu_seconds_per_second", ".2f"),
)

BENCHMARK = Benchmark(
    name="overload",
    summary="five times the callers that there is room for: p99 of those let in, refusals",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=_measure,
    columns=tuple(_COLUMNS),
)
