"""Pictures of a run: its curves and its confusion matrix.

Owns how they look. Draws without a display, and without matplotlib's global state.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.epoch import EpochFigures
from training.evaluate import Evaluation
from training.files import replacing

_TRAINING, _VALIDATION, _MARK = "#9aa5b1", "#1f5fa8", "#c2410c"
# Above so many classes the numbers in the cells could not be read.
_MOST_NUMBERED_CLASSES = 12


def draw_loss(path: Path, epochs: list[EpochFigures], best: int) -> None:
    """Draws loss and accuracy by epoch.

    Args:
        path: a .png file.
        epochs: the log, in order.
        best: the epoch whose weights were kept, counted from 1.
    """
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    numbers = [figures.epoch for figures in epochs]
    _draw_pair(
        upper,
        numbers,
        [figures.train_loss_nats_per_step for figures in epochs],
        [figures.validation_loss_nats_per_step for figures in epochs],
    )
    _draw_pair(
        lower,
        numbers,
        [figures.train_accuracy_percent for figures in epochs],
        [figures.validation_accuracy_percent for figures in epochs],
    )
    for axes in (upper, lower):
        axes.axvline(best, color=_MARK, linewidth=1, linestyle="--", label=f"kept: epoch {best}")
    upper.set(yscale="log", ylabel="cross-entropy of a step, nats")
    upper.set_title("Loss and accuracy over real steps", loc="left", fontweight="bold")
    upper.legend(frameon=False)
    lower.set(ylabel="steps classified rightly, %", xlabel="epoch")
    lower.xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path)


def draw_confusion(path: Path, evaluation: Evaluation, labels: tuple[str, ...]) -> None:
    """Draws how often each class was taken for each other.

    Args:
        path: a .png file.
        evaluation: of the test part.
        labels: the classes, in index order.
    """
    counts = evaluation.confusion
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100.0 * counts / np.maximum(totals, 1)
    size = min(3.6 + 0.75 * len(labels), 14)
    figure = Figure(figsize=(size + 1.2, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="most likely class", ylabel="true class")
    axes.set_title(
        f"Test part, cold start: {evaluation.accuracy_percent:.2f}% of "
        f"{evaluation.steps:,} steps right",
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


def _number_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Writes each cell's share and count; cells without a step stay empty."""
    for row, column in np.argwhere(counts):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{share:.1f}%\n{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share > 55 else "#1f2937",
        )


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=140)
