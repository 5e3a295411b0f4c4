"""The records of `serving` as tables, one a part.

Owns their columns, their order and what has to be known to read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.report import Column, Record, markdown
from benchmarks.serving.bench import OVER_THE_LIMIT
from benchmarks.serving.contenders import CONTENDERS, OURS
from benchmarks.serving.settings import PARTS, PartName


@dataclass(frozen=True)
class Table:
    """How a part is shown: its title, what has to be known, its columns, its picture's name."""

    title: str
    text: str
    columns: tuple[Column, ...]
    picture: str = ""


_SERVER = Column("server", "server")
_STREAMS = Column("streams", "streams")
_RATE = Column("steps/s", "steps_per_second", ",.0f")
_TIMES = Column("times plain", "steps_per_second_times_plain", ".2f")
_COST = Column("server CPU us/step", "server_cpu_us_per_step", ".1f")
_P50 = Column("p50 ms", "latency_p50_ms", ".2f")
_P99 = Column("p99 ms", "latency_p99_ms", ".2f")
_OTHERS = Column("others' core %", "other_cpu_percent", ".0f")
_LOAD = (
    Column("load CPU us/step", "load_cpu_us_per_step", ".1f"),
    Column("load core %", "load_cpu_percent", ".0f"),
    Column("load limits", "load_limits", ""),
    _OTHERS,
)

TABLES: dict[PartName, Table] = {
    "closed": Table(
        "Each stream sends its next step when the last is answered",
        "`times plain` is against the plain grpc.aio server of the same run. `starved` streams had "
        "no answer at all. Where the load limits, the server could do more.",
        (
            _SERVER,
            _STREAMS,
            _RATE,
            _TIMES,
            _COST,
            Column("server core %", "server_cpu_percent", ".0f"),
            _P50,
            _P99,
            Column("starved", "starved_streams", ""),
            *_LOAD,
        ),
        "serving_closed.png",
    ),
    "open": Table(
        "64 streams, steps sent when they are due",
        "Latency counts from when a step was due, so that the load's own lateness (`late`) is in "
        "it. A server's rates end with the first of which it answers less than 97% in time.",
        (
            _SERVER,
            Column("sent/s", "rate", ",.0f"),
            Column("answered/s", "steps_per_second", ",.0f"),
            _P50,
            Column("p90 ms", "latency_p90_ms", ".2f"),
            _P99,
            Column("p99.9 ms", "latency_p999_ms", ".2f"),
            Column("late p99 ms", "late_p99_ms", ".2f"),
            Column("server core %", "server_cpu_percent", ".0f"),
            _OTHERS,
        ),
        "serving_open.png",
    ),
    "idle": Table(
        "Memory of a silent stream",
        "What 4,000 streams, opened at once over few connections, add to the server's resident "
        "memory once each has had an answer and all are silent.",
        (
            _SERVER,
            _STREAMS,
            Column("KiB a stream", "idle_kib_per_stream", ".1f"),
        ),
        "serving_idle.png",
    ),
    "sizes": Table(
        "64 streams, by the model's size",
        "",
        (
            _SERVER,
            Column("inputs", "features"),
            Column("hidden", "hidden"),
            Column("layers", "layers"),
            _RATE,
            _TIMES,
            _COST,
            _P50,
            _P99,
            *_LOAD,
        ),
        "serving_sizes.png",
    ),
    "workers": Table(
        "Workers, 256 streams",
        "One worker has a core and the load the other; two share both cores with the load. So "
        "`times one` compares what was answered, of which the load's processor time takes its "
        "part, a smaller one where a message carries 16 steps; `capacity times one` compares steps "
        "a second of the server's own processor time, times workers: what they would do with a "
        "core each, caches and memory shared as they were here.",
        (
            _SERVER,
            Column("steps a message", "chunk_steps"),
            Column("workers", "workers"),
            _RATE,
            Column("times one", "steps_per_second_times_one_worker", ".2f"),
            _COST,
            Column("capacity times one", "capacity_times_one_worker", ".2f"),
            Column("server core %", "server_cpu_percent", ".0f"),
            Column("load core %", "load_cpu_percent", ".0f"),
            _OTHERS,
        ),
    ),
}
_NUMBERS = ("streams", "hidden", "rate", "chunk_steps", "workers")
_ORDER = {one.name: number for number, one in enumerate(CONTENDERS)}


def of_part(records: Sequence[Record], part: PartName) -> list[Record]:
    """A part's records with figures, in the order in which they are shown."""
    found = [one for one in records if one["part"] == part and not one["failure"]]
    return sorted(found, key=_place)


def _place(one: Record) -> tuple[float, ...]:
    numbers = (float(one.get(name, 1)) for name in _NUMBERS)
    streams, hidden, rate, chunk_steps, workers = numbers
    return (streams, hidden, _ORDER[str(one["server"])], rate, chunk_steps, workers)


def tables(records: Sequence[Record]) -> str:
    """What was measured, for a terminal."""
    return "\n\n".join(block for part in PARTS for block in _blocks(records, part, pictures=False))


def page(records: Sequence[Record]) -> str:
    """A page (Markdown) with every table and picture, the machine named."""
    blocks = [block for part in PARTS for block in _blocks(records, part, pictures=True)]
    return "\n\n".join(["# Statewise beside other servers", *_preface(records), *blocks]) + "\n"


def _blocks(records: Sequence[Record], part: PartName, *, pictures: bool) -> list[str]:
    """Title, text, picture and table of a part; nothing where it was not measured."""
    table, found = TABLES[part], of_part(records, part)
    left_out = [
        f"- {one['server']}, {one['streams']:,} streams: {one['failure']}"
        for one in _failed(records, part)
    ]
    if not found and not left_out:
        return []
    blocks = [f"## {table.title}", table.text]
    if pictures and table.picture:
        blocks.append(f"![{table.title}]({table.picture})")
    if found:
        blocks.append(markdown(table.columns, found))
    return [block for block in (*blocks, "\n".join(left_out)) if block]


def _failed(records: Sequence[Record], part: PartName) -> list[Record]:
    """Those of which the table does not say why they have no figures."""
    return [
        one for one in records if one["part"] == part and one["failure"] not in ("", OVER_THE_LIMIT)
    ]


def _preface(records: Sequence[Record]) -> list[str]:
    steps = sum(int(one.get("verified_steps", 0)) for one in records)
    ours = {one.name for one in OURS}
    other_bits = sum(
        int(one.get("differing_values", 0)) for one in records if one["server"] in ours
    )
    return [
        f"Made by `python -m benchmarks serving`. Machine: {machine.title(records[0])}.",
        "Each server has one core and the load generator another. Unless said otherwise the model "
        "is a GRU with 32 inputs, 128 hidden units, 2 layers and 8 outputs; a message carries one "
        "step; figures are medians of turns in which all servers follow each other.",
        f"Each of {steps:,} answers was compared with the model's own: {other_bits} numbers of "
        "Statewise's have other bits; those of others are within 1e-5.",
    ]
