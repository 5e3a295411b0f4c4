"""How a network uses its gates: distribution of z and r over real steps and units.

Owns the bins and the thresholds from which on a gate counts as open or shut.
"""

from dataclasses import dataclass

import numpy as np

from training.inspection.traces import LayerSteps, RealSteps
from training.reference import Array

BINS = 50
_OPEN, _SHUT = 0.9, 0.1


@dataclass(frozen=True)
class GateUse:
    """The gates of one layer, over all real steps and units.

    Attributes:
        layer: counted from 1.
        z, r: share of steps and units in each of `BINS` bins of equal width from 0 to 1, percent.
        shares: percent of steps and units, by what holds there.
    """

    layer: int
    z: Array
    r: Array
    shares: dict[str, float]


def measure_gates(steps: RealSteps) -> tuple[GateUse, ...]:
    """The gates of each layer, bottom first."""
    return tuple(
        GateUse(number, _histogram(layer.z), _histogram(layer.r), _shares(layer))
        for number, layer in enumerate(steps.layers, 1)
    )


def _histogram(gate: Array) -> Array:
    counts, _ = np.histogram(gate, BINS, (0.0, 1.0))
    return 100.0 * counts / gate.size


def _shares(layer: LayerSteps) -> dict[str, float]:
    z, r = layer.z, layer.r
    holds = {
        f"z > {_OPEN}": z > _OPEN,
        f"z < {_SHUT}": z < _SHUT,
        f"r > {_OPEN}": r > _OPEN,
        f"r < {_SHUT}": r < _SHUT,
        f"z < {_SHUT} and r < {_SHUT}": (z < _SHUT) & (r < _SHUT),
        f"z < {_SHUT} and r > {_OPEN}": (z < _SHUT) & (r > _OPEN),
    }
    return {name: 100.0 * float(there.mean()) for name, there in holds.items()}
