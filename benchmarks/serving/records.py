"""What the benchmark `serving` writes down.

Owns the fields of its records. Knows nothing of how a trial is run, nor of tables and pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from benchmarks import machine
from benchmarks.report import Record
from benchmarks.serving.bench import Findings, disturbance
from benchmarks.serving.cases import Case
from benchmarks.serving.contenders import PLAIN_AIO
from benchmarks.serving.trial import Trial

_US = 1e6
_KIB = 1024
_LATENCIES = tuple(f"latency_{name}_ms" for name in ("p50", "p90", "p99", "p999"))
# Above this percentage of its core, the load generator may be what was measured.
_LOAD_LIMIT = 90.0


def summarize(findings: Findings) -> list[Record]:
    """A record for each case, figures being medians of its trials.

    A case without a trial has a `failure`, which is "" elsewhere, and no figures.
    """
    surroundings = machine.describe()
    records = []
    for case, trials in findings.trials.items():
        figures = _figures(trials) | _ratios(case, findings.trials)
        records.append(_circumstances(case) | {"failure": ""} | figures | surroundings)
    for case, reason in findings.failures.items():
        records.append(_circumstances(case) | {"failure": reason} | surroundings)
    return records


def _circumstances(case: Case) -> Record:
    visit, load = case.visit, case.load
    return {
        "benchmark": "serving",
        "case": case.name,
        "part": visit.part,
        "server": visit.contender.name,
        "streams": load.streams,
        "connections": load.connections,
        "rate": load.rate,
        "chunk_steps": load.chunk_steps,
        "workers": visit.workers,
        **{name: getattr(visit.sizes, name) for name in visit.sizes._fields},
    }


def _figures(trials: Sequence[Trial]) -> Record:
    return {
        "repeats": len(trials),
        **(_of_silence(trials) if trials[0].load.idle else _of_load(trials)),
        "verified_steps": sum(one.agreement.steps for one in trials),
        "differing_values": sum(one.agreement.differing_values for one in trials),
        "worst_error": max(one.agreement.worst_error for one in trials),
    }


def _of_silence(trials: Sequence[Trial]) -> Record:
    return {
        "idle_kib_per_stream": _median(trials, lambda one: one.report.idle_bytes_per_stream / _KIB)
    }


def _of_load(trials: Sequence[Trial]) -> Record:
    rates = [_steps_per_second(one) for one in trials]
    load_percent = _median(trials, _load_percent)
    return {
        "seconds_per_repeat": trials[0].load.seconds,
        "steps_per_second": median(rates),
        "steps_per_second_lowest": min(rates),
        "steps_per_second_highest": max(rates),
        "server_cpu_us_per_step": _median(trials, _server_us),
        "server_cpu_percent": _median(
            trials, lambda one: 100 * one.report.server_cpu_seconds / one.report.seconds
        ),
        **{name: _median(trials, _reported(name)) for name in (*_LATENCIES, "late_p99_ms")},
        "starved_streams": round(_median(trials, _reported("starved_streams"))),
        "load_cpu_us_per_step": _median(
            trials, lambda one: one.report.load_cpu_seconds / one.report.steps * _US
        ),
        "load_cpu_percent": load_percent,
        "other_cpu_percent": 100 * _median(trials, disturbance),
        # At a rate it never rests, since it looks at the clock; there, `late` tells.
        "load_limits": not trials[0].load.rate and load_percent > _LOAD_LIMIT,
    }


def _ratios(case: Case, trials: dict[Case, list[Trial]]) -> Record:
    """How a server compares with the plain one, and workers with one of them."""
    if case.load.idle:
        return {}
    mine = trials[case]
    found: Record = {}
    plain = trials.get(_beside(case, contender=PLAIN_AIO))
    if plain:
        found["steps_per_second_times_plain"] = _ratio(mine, plain, _steps_per_second)
    if case.visit.part == "workers":
        single = trials[_beside(case, workers=1)]
        found["steps_per_second_times_one_worker"] = _ratio(mine, single, _steps_per_second)
        # Of as many cores as there are workers, had each one to itself.
        found["capacity_times_one_worker"] = (
            case.visit.workers * _median(single, _server_us) / _median(mine, _server_us)
        )
    return found


def _beside(case: Case, **changes: object) -> Case:
    return Case(replace(case.visit, **changes), case.load)  # type: ignore[arg-type]


def _ratio(
    mine: Sequence[Trial], theirs: Sequence[Trial], figure: Callable[[Trial], float]
) -> float:
    return _median(mine, figure) / _median(theirs, figure)


def _median(trials: Sequence[Trial], figure: Callable[[Trial], float]) -> float:
    return median(figure(one) for one in trials)


def _reported(name: str) -> Callable[[Trial], float]:
    def figure(one: Trial) -> float:
        return float(getattr(one.report, name))

    return figure


def _steps_per_second(one: Trial) -> float:
    return one.report.steps / one.report.seconds


def _server_us(one: Trial) -> float:
    return one.report.server_cpu_seconds / one.report.steps * _US


def _load_percent(one: Trial) -> float:
    return 100 * one.report.load_cpu_seconds / one.report.seconds
