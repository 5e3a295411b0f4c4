"""The records of `serving` as pictures.

Owns their drawing: one colour a server in all of them, figures written where bars end. A part that
was not measured has none.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks import machine
from benchmarks.report import Record
from benchmarks.serving.contenders import CONTENDERS
from benchmarks.serving.settings import PartName
from benchmarks.serving.tables import TABLES, of_part

# Ours in two tones of one colour, told apart by those who see no colours too (after Okabe and Ito).
_TONES = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#999999")
_COLOURS = {one.name: tone for one, tone in zip(CONTENDERS, _TONES, strict=True)}
_MARKERS = {one.name: mark for one, mark in zip(CONTENDERS, "osD^vX", strict=True)}
_BAR_INCHES = 0.34


def draw(records: Sequence[Record], folder: Path) -> None:
    """Writes the PNG of every part that was measured and has one."""
    drawers: dict[PartName, Callable[[Sequence[Record]], Figure]] = {
        "closed": _closed,
        "open": _open,
        "idle": _idle,
        "sizes": _sizes,
    }
    for part, drawer in drawers.items():
        if found := of_part(records, part):
            figure = drawer(found)
            title = f"{TABLES[part].title}\n{machine.title(records[0])}"
            figure.suptitle(title, fontsize="medium")
            figure.savefig(folder / TABLES[part].picture, dpi=130)


def _closed(records: Sequence[Record]) -> Figure:
    counts = sorted({int(one["streams"]) for one in records})
    servers = _servers(records)
    figure, panels = _panels(len(counts), servers)
    for axes, count in zip(panels, counts, strict=True):
        chosen = [one for one in records if one["streams"] == count]
        _bars(axes, chosen, servers, "steps_per_second")
        axes.set_title(f"{count:,} stream{'s' if count > 1 else ''}", fontsize="medium")
        axes.set_xlabel("steps/s")
    return figure


def _idle(records: Sequence[Record]) -> Figure:
    servers = _servers(records)
    figure, (axes,) = _panels(1, servers)
    _bars(axes, records, servers, "idle_kib_per_stream")
    axes.set_xlabel("KiB a stream")
    return figure


def _open(records: Sequence[Record]) -> Figure:
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("p50", "p99"), strict=True):
        _lines(axes, records, "rate", f"latency_{name}_ms")
        axes.set_title(f"{name}, ms", fontsize="medium")
        axes.set_xlabel("steps/s sent")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=6)
        axes.margins(x=0.06)
        _logarithmic(axes)
    _legend(figure, panels[0])
    return figure


def _sizes(records: Sequence[Record]) -> Figure:
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    kinds = sorted({_size(one) for one in records})
    places = [{**one, "place": kinds.index(_size(one))} for one in records]
    for axes, field, title in zip(
        panels,
        ("steps_per_second", "server_cpu_us_per_step"),
        ("steps/s", "server CPU, us a step"),
        strict=True,
    ):
        _lines(axes, places, "place", field)
        axes.set_title(title, fontsize="medium")
        axes.set_xticks(range(len(kinds)), [f"({i},{h},{n})" for h, i, n in kinds])
        axes.set_xlabel("(inputs, hidden, layers)")
        _logarithmic(axes)
    _legend(figure, panels[0])
    return figure


def _size(one: Record) -> tuple[int, int, int]:
    return int(one["hidden"]), int(one["features"]), int(one["layers"])


def _servers(records: Sequence[Record]) -> list[str]:
    """Those that have figures, in their order."""
    there = {one["server"] for one in records}
    return [one.name for one in CONTENDERS if one.name in there]


def _panels(count: int, servers: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Panels side by side in which each server has a row of its own."""
    height = 1.5 + _BAR_INCHES * len(servers)
    figure = Figure(figsize=(3.0 + 2.6 * max(count, 2), height), layout="constrained")
    panels = list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
    panels[0].set_yticks(range(len(servers)), servers)
    panels[0].invert_yaxis()
    return figure, panels


def _bars(axes: Axes, records: Sequence[Record], servers: Sequence[str], field: str) -> None:
    """A bar a server, in the row that is its own, its figure at its end."""
    values = [float(one[field]) for one in records]
    names = [str(one["server"]) for one in records]
    bars = axes.barh(
        [servers.index(name) for name in names], values, color=[_COLOURS[n] for n in names]
    )
    labels = [f"{value:,.0f}{_hungry(one)}" for value, one in zip(values, records, strict=True)]
    axes.bar_label(bars, labels, padding=3, fontsize="small")
    axes.set_xlim(0, 1.3 * max(values))
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)


def _hungry(one: Record) -> str:
    """Of those who were served in place of others."""
    starved = one.get("starved_streams", 0)
    return f"  ({starved} starved)" if starved else ""


def _lines(axes: Axes, records: Sequence[Record], across: str, up: str) -> None:
    """A line a server."""
    for name in _servers(records):
        mine = [one for one in records if one["server"] == name]
        axes.plot(
            [float(one[across]) for one in mine],
            [float(one[up]) for one in mine],
            color=_COLOURS[name],
            marker=_MARKERS[name],
            markersize=4,
            linewidth=1.6,
            label=name,
        )
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:,g}")


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small"
    )
