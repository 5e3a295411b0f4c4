"""Comparing what was measured with what a formula says: how far apart at worst, and where.

Owns the result of a check and its table for a terminal. Knows nothing of what is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.reference import Array

HEADER = ("check", "compared", "values", "worst error", "tolerance", "where", "result")
# The columns of numbers stand to the right.
_NUMBERS = (2, 3, 4)


@dataclass(frozen=True)
class Comparison:
    """The result of one check.

    Attributes:
        check: what was looked at.
        compared: what with what.
        values: how many numbers were compared.
        worst_error: the largest absolute error.
        tolerance: the largest one that is allowed.
        where: the place of the worst error; "" where there is none at all.
        passed: whether every error is within the tolerance.
    """

    check: str
    compared: str
    values: int
    worst_error: float
    tolerance: float
    where: str
    passed: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The comparison in words, one for each column of `HEADER`."""
        return (
            self.check,
            self.compared,
            f"{self.values:,}",
            _number(self.worst_error),
            _number(self.tolerance),
            self.where or "-",
            "passed" if self.passed else "FAILED",
        )


def compare(
    check: str,
    compared: str,
    measured: Array,
    formula: Array,
    tolerance: float,
    places: Sequence[str],
) -> Comparison:
    """Compares Jacobians of many steps.

    Args:
        check: what is looked at.
        compared: what with what.
        measured: (steps, hidden, hidden).
        formula: of the same shape.
        tolerance: the largest absolute error that is allowed.
        places: the name of each step.
    """
    distance = np.abs(measured - formula)
    # What is no number is as far off as can be.
    error = np.where(np.isfinite(distance), distance, np.inf)
    step, row, column = map(int, np.unravel_index(int(error.argmax()), error.shape))
    worst = float(error[step, row, column])
    return Comparison(
        check=check,
        compared=compared,
        values=error.size,
        worst_error=worst,
        tolerance=tolerance,
        where=f"{places[step]}, row {row}, column {column}" if worst else "",
        passed=worst <= tolerance,
    )


def table(comparisons: Sequence[Comparison]) -> str:
    """One line a comparison, under a header; columns aligned."""
    rows = [HEADER, *(comparison.cells for comparison in comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_line(row, widths) for row in rows)


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
