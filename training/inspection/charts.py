"""Charts of an inspection, as SVG.

Owns how they look: without a background of their own, so that they fit into any page.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.inspection.gates import BINS, GateUse
from training.inspection.lags import LagNorms
from training.pictures import labels_figure, with_any_text
from training.reference import Array

_COLOURS = ("#1f5fa8", "#c2410c", "#15803d")
# Below this share a chart would show rounding, and flatten everything else.
_FLOOR = 1e-12


def draw_lags(contenders: Sequence[LagNorms]) -> bytes:
    """Norms by lag: as they are, and as a share of the error's own at lag 0."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for norms, colour in zip(contenders, _COLOURS, strict=True):
        _draw_band(left, norms.name, norms.quartiles, colour)
        _draw_band(right, norms.name, norms.relative, colour)
    left.set_title("Norm of dL_T/dh_{T-k}".replace("_T", "$_T$").replace("_{T-k}", "$_{T-k}$"))
    right.set_title("Share of the norm at lag 0")
    for axes in (left, right):
        axes.set(yscale="log", xlabel="lag k, steps", xlim=(0, None))
        axes.set_ylim(bottom=max(axes.get_ylim()[0], _FLOOR))
        axes.grid(axis="y", color="#d1d5db", linewidth=0.6)
    right.legend(frameon=False)
    return _svg(figure)


def draw_gates(uses: Sequence[GateUse]) -> bytes:
    """Distribution of both gates, a row for each layer."""
    figure = Figure(figsize=(10, 2.9 * len(uses)), layout="constrained")
    rows = figure.subplots(len(uses), 2, squeeze=False, sharex=True)
    edges = np.linspace(0, 1, BINS + 1)
    for use, panels in zip(uses, rows, strict=True):
        gates = (("update gate z", use.z), ("reset gate r", use.r))
        for axes, (name, shares), colour in zip(panels, gates, _COLOURS, strict=False):
            axes.stairs(shares, edges, fill=True, color=colour)
            axes.set(title=f"layer {use.layer}, {name}", xlim=(0, 1), ylabel="steps x units, %")
    for axes in rows[-1]:
        axes.set(xlabel="0 is shut, 1 is open")
    return _svg(figure)


def draw_labels(names: Sequence[str], counts: Array) -> bytes:
    """Precision, recall and F1 of each label; counts are hits, false alarms, misses (3, labels)."""
    return _svg(labels_figure(names, counts))


def _draw_band(axes: Axes, name: str, quartiles: Array, colour: str) -> None:
    low, median, high = np.maximum(quartiles, _FLOOR / 10)
    lags = np.arange(len(median))
    axes.fill_between(lags, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(lags, median, color=colour, label=name)


def _svg(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontweight("bold")
    drawn = BytesIO()
    with with_any_text():
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()
