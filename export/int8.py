"""The arithmetic of a network whose products with states are computed in 8-bit integers.

Owns the scales, and which weights are rounded. Knows nothing of nodes and engines.

A state is in [-1, 1], so that its scale is fixed. A scale taken from the values of a call, as
dynamic quantisation takes it, would let the streams of a batch change each other's answers. Sums of
whole numbers are exact in any order, so that a row's bits can't depend on its company.

The network's own input has no bounds: its products stay in float32. Rounded as well, at a scale for
4 standard deviations, outputs were off by up to six times as much, and calls 0 to 17% faster.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import step_weights
from training.reference import Array, Network

# -1 to 1 as 1 to 255 around 128.
STATE_SCALE = np.float32(1 / 127)
STATE_ZERO = np.uint8(128)
# Processors without VNNI add two products in 16 bits: 2 * 255 * 64 fits; 2 * 255 * 127 does not,
# and would be cut off without a word. Errors are the same with 64 steps as with 127, since they
# come from the states' rounding.
LARGEST_WEIGHT = 64
# Below it float32 is as fast, for fewer streams at once even faster, and exact.
SMALLEST_HIDDEN = 256


def quantize(weight: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rounds the weight of a product with states, a scale a column.

    Args:
        weight: (rows of the product's input, columns of its output).

    Returns:
        Whole numbers, and for each column what a sum of whole numbers is worth, (columns,).
    """
    # A column of zeros gets a scale too, one that float32 holds.
    largest = np.fmax(np.abs(weight).max(axis=0), 1e-30)
    scale = (largest / LARGEST_WEIGHT * STATE_SCALE).astype(np.float32)
    whole = np.nan_to_num(np.rint(weight / largest * LARGEST_WEIGHT))
    return whole.astype(np.int8), scale


def dequantize(whole: NDArray[Any], scale: NDArray[Any]) -> Array:
    """The weight that whole numbers stand for, (rows, columns)."""
    return whole * (scale.astype(np.float64) / float(STATE_SCALE))


def exact_rows(part: str, index: int, width: int) -> int:
    """How many rows of a part's weight stay in float32: those that the network's input meets.

    Args:
        part: its name, of `step_weights`.
        index: of the layer.
        width: of the layer's input.
    """
    return width if index == 0 and part != step_weights.CANDIDATE_RECURRENT else 0


def keep(network: Network) -> Network:
    """The network that the whole numbers stand for."""
    layers = []
    for index, layer in enumerate(network.layers):
        parts = step_weights.pack(layer, network.reset_after)
        width = layer.w_z.shape[1]

        def rounded(part: str, rows: int, columns: int) -> step_weights.Part:
            del rows, columns
            weight, bias = parts[part]  # noqa: B023 - called at once
            exact = exact_rows(part, index, width)  # noqa: B023
            if exact == len(weight):
                return weight, bias
            recurrent = dequantize(*quantize(weight[exact:]))
            return np.concatenate([weight[:exact], recurrent]), bias

        layers.append(
            step_weights.unpack(rounded, width, network.hidden, reset_after=network.reset_after)
        )
    return replace(network, layers=tuple(layers))
