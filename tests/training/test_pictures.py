"""Names in pictures stand as they are, whatever signs they hold."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context

from training.objective import Score
from training.pictures import draw_confusion, draw_labels, labels_figure

# Each would be read as a formula, and the first as one that can't be parsed.
NAMES = ("$\\frac$", "a$b$c", "x_1^2", "<&> \u00e9\u4e2d")


def test_names_with_signs_of_formulas_are_drawn(tmp_path: Path) -> None:
    confusion = Score(torch.zeros(()), 8.0, np.eye(4) * 2)
    draw_confusion(tmp_path / "confusion.png", confusion, NAMES)
    labels = Score(torch.zeros(()), 8.0, np.ones((3, 4)))
    draw_labels(tmp_path / "labels.png", labels, NAMES)
    for name in ("confusion", "labels"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_label_is_measured_by_its_own_counts() -> None:
    # The second was neither said nor true.
    figure = labels_figure(NAMES[1:3], np.array([[6.0, 0], [2, 0], [4, 0]]))
    axes = figure.axes[0]
    lengths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    np.testing.assert_allclose(lengths, [[75, 0], [60, 0], [100 * 12 / 18, 0]])
    drawn = BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg")
    assert b"a$b$c" in drawn.getvalue()
