"""The benchmark `overload`: what those who are let in notice of those who are not.

Owns the phases: closed loops, the slowest of which says what the server can take; then turns, each
on a server of its own, in which 80% of that is sent when it is due: alone, beside four times as
many callers for whom there is no room, and alone again once these are gone. Knows nothing of how a
load is made.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import cores, machine, medians, model, processes
from benchmarks.benchmark import Benchmark, add_repeats
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
as soon as the last is answered: once for each turn, and the slowest of them is what it can compute,
since on a machine that is shared any other is too much for it now and then. Latency counts from
when a step was due; every answer is compared with the model's. Turns lie far apart on such a
machine, so beside the median of a multiple stands between which values the true one lies (95%).
With the defaults it takes 25 minutes.

example:
  python -m benchmarks overload
"""
_SHARE = 0.8
_TIMES = 5
_CONNECTIONS = 4
_REPEATS, _SECONDS, _WARMUP = 30, 10.0, 0.5
_QUICK_REPEATS, _QUICK_SECONDS, _QUICK_WARMUP = 1, 0.5, 0.1
_BEFORE, _OVERLOAD, _AFTER = "80% load", f"{_TIMES} times as many callers", "afterwards"
_ONSET = "their first 3 s"
_CLOSED = "as fast as answered"
_PERCENTILES = ("p50", "p90", "p99")
# How a report names them.
_WHEN = {_BEFORE: "before", _OVERLOAD: "latency", _ONSET: "onset", _AFTER: "after"}


def _measure(options: argparse.Namespace) -> list[Record]:
    turns = range(_QUICK_REPEATS if options.quick else options.repeats)
    both = cores.choose()
    with tempfile.TemporaryDirectory() as folder, cores.pinned(both.load):
        repository = Path(folder)
        model.make(repository)
        with _server(repository, both, options) as server:
            print(f"{len(turns)} closed loops", file=sys.stderr)
            closed = [_run(repository, both, _load(server, options)) for _ in turns]
        rate = _SHARE * min(_per_second(one) for one in closed)
        beside: list[LoadReport] = []
        for turn in turns:
            print(f"turn {turn + 1} of {len(turns)}", file=sys.stderr)
            with _server(repository, both, options) as server:
                load = _load(server, options, rate, surplus=(_TIMES - 1) * options.streams)
                beside.append(_run(repository, both, load))
    return [
        *(_record(phase, options.streams, beside) for phase in _WHEN),
        _closed_record(options.streams, closed),
    ]


def _server(
    repository: Path, both: Cores, options: argparse.Namespace
) -> AbstractContextManager[Server]:
    command = [
        *(sys.executable, "-m", "service", "serve", "--model-repository", str(repository)),
        *("--port", "0", "--metrics-port", "0", "--max-streams", str(options.streams)),
    ]
    return processes.serving(command, both.server)


def _run(repository: Path, both: Cores, load: LoadSettings) -> LoadReport:
    return trial.run(load, both.load, model.path(repository), tolerance=0.0).report


def _per_second(report: LoadReport) -> float:
    return report.steps / report.seconds


def _load(
    server: Server, options: argparse.Namespace, rate: float = 0.0, surplus: int = 0
) -> LoadSettings:
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


def _record(phase: str, streams: int, turns: Sequence[LoadReport]) -> Record:
    """Medians over the turns; the multiple of a p99 is that of the same turn's before."""
    crowds = turns if phase == _OVERLOAD else ()
    return {
        **machine.describe(),
        "phase": phase,
        "streams": streams,
        "callers": streams * (_TIMES if phase in (_OVERLOAD, _ONSET) else 1),
        "turns": len(turns),
        # Over all turns: none is allowed.
        "refused_otherwise": sum(one.refused_otherwise for one in crowds),
        "let_in": sum(one.let_in for one in crowds),
        **_medians([_beside(phase, one) for one in turns]),
        **_spread([_times(phase, one) for one in turns]),
    }


def _closed_record(streams: int, loops: Sequence[LoadReport]) -> Record:
    return {
        **machine.describe(),
        "phase": _CLOSED,
        "streams": streams,
        "callers": streams,
        "turns": len(loops),
        "slowest_steps_per_second": min(_per_second(one) for one in loops),
        **_medians([_latencies(one, "latency") | _rates(one) for one in loops]),
    }


def _beside(phase: str, report: LoadReport) -> dict[str, float]:
    """A phase of a turn."""
    found = _latencies(report, _WHEN[phase])
    found["p99_times_before"] = _times(phase, report)
    if phase == _OVERLOAD:
        found |= _rates(report)
        for name in ("refused_p50_ms", "refused_p99_ms"):
            found[name] = vars(report)[name]
    return found


def _latencies(report: LoadReport, when: str) -> dict[str, float]:
    return {f"latency_{part}_ms": vars(report)[f"{when}_{part}_ms"] for part in _PERCENTILES}


def _rates(report: LoadReport) -> dict[str, float]:
    names = ("steps", "server_cpu_seconds", "other_cpu_seconds", "refused")
    found = {f"{name}_per_second": vars(report)[name] / report.seconds for name in names}
    return found | {"late_p99_ms": report.late_p99_ms}


def _times(phase: str, report: LoadReport) -> float:
    """A phase's p99 as a multiple of the same turn's before."""
    return float(vars(report)[f"{_WHEN[phase]}_p99_ms"] / report.before_p99_ms)


def _spread(multiples: Sequence[float]) -> dict[str, float]:
    """Between which their true median lies, and half of them."""
    least, most = medians.interval(multiples)
    low, high = np.percentile(multiples, (25, 75))
    return {
        "p99_times_before_least": least,
        "p99_times_before_most": most,
        "p99_times_before_low": float(low),
        "p99_times_before_high": float(high),
    }


def _medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in turns) for name in turns[0]}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=64, metavar="N", help="let in (64)")
    add_repeats(parser, _REPEATS, "turns")
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
    Column("slowest", "slowest_steps_per_second", ",.0f"),
    Column("p50 ms", "latency_p50_ms", ".2f"),
    Column("p90 ms", "latency_p90_ms", ".2f"),
    Column("p99 ms", "latency_p99_ms", ".2f"),
    Column("p99 times before", "p99_times_before", ".2f"),
    Column("95% from", "p99_times_before_least", ".2f"),
    Column("to", "p99_times_before_most", ".2f"),
    Column("half from", "p99_times_before_low", ".2f"),
    Column("to", "p99_times_before_high", ".2f"),
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
