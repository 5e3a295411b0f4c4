"""What the benchmark `serving` writes down.

Owns the fields of its records and the columns of its table. Knows nothing of how a trial is run.
"""

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks import machine, model
from benchmarks.contenders import PLAIN_AIO
from benchmarks.report import Column, Record
from benchmarks.trial import Trial

# Trials by server and number of streams.
Samples = dict[tuple[str, int], list[Trial]]

_US = 1e6
# Above this percentage of its core, the load generator may be what was measured.
_LOAD_LIMIT = 90.0

COLUMNS = (
    Column("server", "server"),
    Column("streams", "streams"),
    Column("steps/s", "steps_per_second", ",.0f"),
    Column("times plain", "steps_per_second_times_plain", ".2f"),
    Column("server CPU us/step", "server_cpu_us_per_step", ".1f"),
    Column("server core %", "server_cpu_percent", ".0f"),
    Column("p50 ms", "latency_p50_ms", ".3f"),
    Column("p99 ms", "latency_p99_ms", ".3f"),
    Column("load CPU us/step", "load_cpu_us_per_step", ".1f"),
    Column("load core %", "load_cpu_percent", ".0f"),
    Column("load limits", "load_limits", ""),
)


def summarize(samples: Samples) -> list[Record]:
    """A record for each server under each load, figures being medians of its trials.

    Args:
        samples: at least one trial of each; the plain server's under every load.
    """
    surroundings = machine.describe()
    records = []
    for (server, streams), trials in samples.items():
        plain = _median(samples[PLAIN_AIO.name, streams], _steps_per_second)
        records.append(_record(server, trials, plain) | surroundings)
    return records


def _record(server: str, trials: Sequence[Trial], plain: float) -> Record:
    load = trials[0].load
    rates = [_steps_per_second(one) for one in trials]
    load_percent = _median(trials, _load_percent)
    return {
        "benchmark": "serving",
        "server": server,
        "streams": load.streams,
        "connections": load.connections,
        "features": model.FEATURES,
        "hidden": model.HIDDEN,
        "layers": model.LAYERS,
        "outputs": model.OUTPUTS,
        "repeats": len(trials),
        "seconds_per_repeat": load.seconds,
        "steps_per_second": median(rates),
        "steps_per_second_lowest": min(rates),
        "steps_per_second_highest": max(rates),
        "steps_per_second_times_plain": median(rates) / plain,
        "server_cpu_us_per_step": _median(
            trials, lambda one: one.report.server_cpu_seconds / one.report.steps * _US
        ),
        "server_cpu_percent": _median(
            trials, lambda one: 100 * one.report.server_cpu_seconds / one.report.seconds
        ),
        "latency_p50_ms": _median(trials, lambda one: one.report.latency_p50_ms),
        "latency_p99_ms": _median(trials, lambda one: one.report.latency_p99_ms),
        "load_cpu_us_per_step": _median(
            trials, lambda one: one.report.load_cpu_seconds / one.report.steps * _US
        ),
        "load_cpu_percent": load_percent,
        "load_limits": load_percent > _LOAD_LIMIT,
        "verified_steps": sum(one.agreement.steps for one in trials),
        "differing_values": sum(one.agreement.differing_values for one in trials),
        "worst_error": max(one.agreement.worst_error for one in trials),
    }


def _median(trials: Sequence[Trial], figure: Callable[[Trial], float]) -> float:
    return median(figure(one) for one in trials)


def _steps_per_second(one: Trial) -> float:
    return one.report.steps / one.report.seconds


def _load_percent(one: Trial) -> float:
    return 100 * one.report.load_cpu_seconds / one.report.seconds
