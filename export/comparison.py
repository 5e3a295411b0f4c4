"""Comparing numbers: how many, how far apart at worst, where, and whether that is allowed.

Owns the making of the manifest's Comparison, which is the result of every check. Knows nothing of
what is compared.
"""

from collections.abc import Sequence

import numpy as np

from export.cases import Numbers
from protos.statewise.v1.manifest_pb2 import Comparison
from training.reference import Array

# Stands for the distance of two numbers that are equal and differ in their bits: 0 and -0.
_SMALLEST = float(np.finfo(np.float32).tiny)


def compare_close(
    actual: Numbers, expected: Numbers, tolerance: float | Array, axes: Sequence[str]
) -> Comparison:
    """Compares within a tolerance.

    Args:
        actual: what was computed, any shape.
        expected: of the same shape.
        tolerance: largest absolute error; broadcast to the shape.
        axes: the name of each axis, such as "step".

    Returns:
        The place where the error is the largest share of its tolerance.
    """
    error = _distance(actual, expected)
    allowed = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), error.shape)
    return _describe(error, allowed, error / allowed, axes)


def compare_bits(actual: Numbers, expected: Numbers, axes: Sequence[str]) -> Comparison:
    """Compares bit for bit, values of one dtype; the arguments are those of compare_close."""
    width = np.dtype(f"u{actual.itemsize}")
    same = np.ascontiguousarray(actual).view(width) == np.ascontiguousarray(expected).view(width)
    error = np.where(same, 0.0, np.maximum(_distance(actual, expected), _SMALLEST))
    return _describe(error, np.zeros_like(error), error, axes)


def worst_of(check: str, compared: str, cases: Sequence[tuple[str, Comparison]]) -> Comparison:
    """Sums several named cases up as one comparison: that of the worst, over all values."""
    name, worst = max(cases, key=lambda case: _badness(case[1]))
    summary = Comparison()
    summary.CopyFrom(worst)
    summary.check = check
    summary.compared = compared
    summary.values = sum(case.values for _, case in cases)
    summary.where = ", ".join(part for part in (name, worst.where) if part and worst.where)
    summary.passed = all(case.passed for _, case in cases)
    return summary


def _distance(actual: Numbers, expected: Numbers) -> Array:
    """|actual - expected|, (same shape); infinite where either is not a number."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(actual.astype(np.float64) - expected)
    return np.where(np.isfinite(distance), distance, np.inf)


def _describe(error: Array, allowed: Array, badness: Array, axes: Sequence[str]) -> Comparison:
    place = np.unravel_index(int(np.argmax(badness)), error.shape)
    named = [f"{axis} {index}" for axis, index in zip(axes, place, strict=True)]
    return Comparison(
        values=error.size,
        worst_error=float(error[place]),
        tolerance=float(allowed[place]),
        where=", ".join(named) if error[place] else "",
        passed=bool((error <= allowed).all()),
    )


def _badness(comparison: Comparison) -> float:
    if comparison.tolerance == 0:
        return comparison.worst_error
    return comparison.worst_error / comparison.tolerance
