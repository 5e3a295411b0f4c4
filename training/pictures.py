"""Pictures of a run: its curves, and its confusion matrix, its residuals or its labels' measures.

Owns how they look. Draws without a display, and without matplotlib's global state.
"""

import warnings
from collections.abc import Iterator
from collections.abc import Sequence as Names
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.data.sequences import Sequence
from training.epoch import EpochFigures
from training.evaluate import stream
from training.files import replacing
from training.network import RecurrentNetwork
from training.objective import Score
from training.trained import Channel

_TRAINING, _VALIDATION, _MARK = "#9aa5b1", "#1f5fa8", "#c2410c"
# Above so many classes the numbers in the cells could not be read.
_MOST_NUMBERED_CLASSES = 12
_MEASURES = {"precision": "#1f5fa8", "recall": "#c2410c", "F1": "#15803d"}


def draw_loss(path: Path, epochs: list[EpochFigures], best: int) -> None:
    """Draws each of an objective's figures by epoch, the loss first.

    Args:
        path: a .png file.
        epochs: the log, in order.
        best: the epoch whose weights were kept, counted from 1.
    """
    names = list(epochs[0].validation)
    figure = Figure(figsize=(8, 3.2 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True)
    numbers = [figures.epoch for figures in epochs]
    for axes, name in zip(panels, names, strict=True):
        training = [figures.training[name] for figures in epochs]
        _draw_pair(axes, numbers, training, [figures.validation[name] for figures in epochs])
        axes.axvline(best, color=_MARK, linewidth=1, linestyle="--", label=f"kept: epoch {best}")
        axes.set(ylabel=name.replace("_", " "))
    panels[0].set(yscale="log")
    panels[0].set_title("Loss and metrics over real steps", loc="left", fontweight="bold")
    panels[0].legend(frameon=False)
    panels[-1].set(xlabel="epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path)


def draw_confusion(path: Path, score: Score, labels: tuple[str, ...]) -> None:
    """Draws how often each class was taken for each other.

    Args:
        path: a .png file.
        score: of the test part.
        labels: the classes, in index order.
    """
    counts = score.counts
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100.0 * counts / np.maximum(totals, 1)
    size = min(3.6 + 0.75 * len(labels), 14)
    figure = Figure(figsize=(size + 1.2, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    labels = tuple(map(_plain, labels))
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="most likely class", ylabel="true class")
    axes.set_title(
        f"Test part, cold start: {100.0 * np.trace(counts) / score.weight:.2f}% of "
        f"{score.weight:,.0f} steps right",
        loc="left",
        fontweight="bold",
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if len(labels) <= _MOST_NUMBERED_CLASSES:
        _number_cells(axes, counts, shares)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class's steps, %")
    bar.outline.set_visible(False)
    _save(figure, path)


def draw_residuals(
    path: Path,
    network: RecurrentNetwork,
    sequences: tuple[Sequence, ...],
    outputs: tuple[Channel, ...],
) -> None:
    """Draws computed against true numbers, one panel an output.

    Args:
        path: a .png file.
        network: the fitted one.
        sequences: the test part, streamed cold.
        outputs: names and units.
    """
    found = [
        torch.stack([batch.targets, values * network.output_scale + network.output_mean])
        .where(batch.weights > 0, torch.nan)
        .flatten(1, 2)
        for values, batch in stream(network, sequences)
    ]
    # (true and computed, steps of all sequences, outputs)
    pairs = torch.cat(found, dim=1).numpy()
    figure = Figure(figsize=(5.2 * len(outputs), 4.8), layout="constrained")
    panels = figure.subplots(1, len(outputs), squeeze=False)[0]
    for index, (axes, output) in enumerate(zip(panels, outputs, strict=True)):
        true, computed = pairs[:, ~np.isnan(pairs[0, :, index]), index]
        unit = f", {output.unit}" if output.unit else ""
        axes.hexbin(true, computed, gridsize=60, bins="log", mincnt=1, cmap="Blues")
        axes.axline((float(true[0]), float(true[0])), slope=1, color=_MARK, linewidth=1)
        name = _plain(f"{output.name}{unit}")
        axes.set(xlabel=f"true {name}", ylabel=f"computed {name}")
        error = np.abs(computed - true).mean()
        title = f"Mean absolute error {error:.4g}{_plain(unit)}"
        axes.set_title(title, loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_labels(path: Path, score: Score, labels: tuple[str, ...]) -> None:
    """Draws how well each label is told.

    Args:
        path: a .png file.
        score: of the test part.
        labels: names, in index order.
    """
    _save(labels_figure(labels, score.counts), path)


def labels_figure(names: Names[str], counts: NDArray[np.float64]) -> Figure:
    """Precision, recall and F1 of each label; counts are hits, false alarms, misses (3, labels)."""
    hits, alarms, misses = counts
    values = {
        "precision": hits / np.maximum(hits + alarms, 1e-300),
        "recall": hits / np.maximum(hits + misses, 1e-300),
        "F1": 2 * hits / np.maximum(2 * hits + alarms + misses, 1e-300),
    }
    figure = Figure(figsize=(10, 1.4 + 0.55 * len(names)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))
    for index, (measure, colour) in enumerate(_MEASURES.items()):
        lengths = 100 * values[measure]
        axes.barh(rows + 0.26 * (index - 1), lengths, 0.24, label=measure, color=colour)
    axes.set_yticks(rows, map(_plain, names))
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel="%")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


def _plain(text: str) -> str:
    """Text as it stands: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def _draw_pair(
    axes: Axes, epochs: list[int], training: list[float], validation: list[float]
) -> None:
    """Training and validation curves on one pair of axes."""
    # A single epoch would be an invisible line.
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, training, color=_TRAINING, marker=marker, label="training crops")
    axes.plot(epochs, validation, color=_VALIDATION, marker=marker, label="validation, cold start")
    axes.grid(axis="y", color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)


def _number_cells(axes: Axes, counts: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    """Writes each cell's share and count; cells without a step stay empty."""
    for row, column in np.argwhere(counts):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{share:.1f}%\n{counts[row, column]:,.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share > 55 else "#1f2937",
        )


@contextmanager
def with_any_text() -> Iterator[None]:
    """Draws an empty box for a sign that the font lacks, and says nothing of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary, with_any_text():
        figure.savefig(temporary, dpi=140)
