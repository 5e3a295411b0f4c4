"""What a median of repeats is worth.

Owns the interval in which the true one lies. Knows nothing of what was repeated.
"""

from collections.abc import Sequence
from math import comb

_DOUBT = 0.05


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Two of the values, between which the true median lies with a probability of 95% or more.

    Each value is above the true median as often as below it, however it is distributed, so that how
    many of them are is binomial; Conover, Practical Nonparametric Statistics, 3.2. Fewer than six
    values can't tell so much: for them it is the least and the greatest.

    Args:
        values: independent repeats of one measurement, one at least.
    """
    ordered, rank = sorted(values), 0
    outside = 0.5 ** len(ordered)
    while outside <= _DOUBT / 2:
        rank += 1
        outside += comb(len(ordered), rank) * 0.5 ** len(ordered)
    least = max(rank - 1, 0)
    return ordered[least], ordered[-1 - least]
