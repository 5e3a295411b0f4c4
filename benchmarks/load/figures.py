"""What a load's nanoseconds come to, in milliseconds.

Owns the percentiles. Knows nothing of sockets or of when what was measured.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.errors import LoadError
from benchmarks.load.crowd import Refusals

_MS_PER_NS = 1e-6


def percentiles(latencies: Sequence[int], shares: Sequence[float]) -> list[float]:
    """Latencies in nanoseconds at some shares of them in percent, in milliseconds.

    Raises:
        LoadError: there are none.
    """
    if not latencies:
        raise LoadError("no step was answered while the clock ran")
    return [float(one) * _MS_PER_NS for one in np.percentile(np.array(latencies), shares)]


def of_refusals(told: Refusals) -> dict[str, Any]:
    """What those were told for whom there was no room, as a report says it."""
    p50, p99 = percentiles(told.nanoseconds or [0], (50, 99))
    return {
        "refused": len(told.nanoseconds),
        "refused_otherwise": told.otherwise,
        "refused_p50_ms": p50,
        "refused_p99_ms": p99,
        "let_in": told.let_in,
    }
