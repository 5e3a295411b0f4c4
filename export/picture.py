"""The validation as a picture: the error of each step of the long runs, against the tolerance.

Owns its drawing. Knows nothing of how the errors came about.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from export.artifact import write_file
from training.reference import Array

# Errors of exactly nothing would fall off a logarithmic axis.
_FLOOR = 1e-6


def draw_errors(error_by_step: Mapping[int, Array], name: str, path: Path) -> None:
    """Draws one curve for each batch size.

    Args:
        error_by_step: batch size to worst output error of each step, as a share of its tolerance.
        name: the model's.
        path: of the PNG.

    Raises:
        OutputError: the path can't be written.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for batch, errors in error_by_step.items():
        steps = np.arange(1, len(errors) + 1)
        axes.semilogy(steps, np.maximum(errors, _FLOOR), linewidth=0.8, label=f"batch {batch}")
    axes.axhline(1.0, color="black", linestyle="--", label="tolerance")
    axes.set_title(f"{name}: ONNX Runtime against the float64 reference")
    axes.set_xlabel("step")
    axes.set_ylabel("worst output error / tolerance")
    figure.legend(loc="outside lower center", ncols=len(error_by_step) + 1, fontsize="small")
    axes.grid(alpha=0.3)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_file(path, picture.getvalue())
