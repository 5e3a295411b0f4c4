"""Whether dh_t/dh_{t-1} is what the formula says, on real steps of a fitted network.

Owns the measurement on the cell that is trained, in float64, and the formula in NumPy from the
reference's weights, so that each is a check on the other:

    dh_t/dh_{t-1} = diag(z) + diag((h - c) z (1-z)) U_z
                    + diag((1-z)(1-c^2)) U_c [diag(r) + diag(h r (1-r)) U_r]        reset-before
                    + diag((1-z)(1-c^2)) [diag(r) U_c + diag(q r (1-r)) U_r]        reset-after

with h = h_{t-1} and q = h U_c^T + d_c. With the gates saturated, z and r are 0 or 1, the gates'
own derivatives vanish, and what is left is I (z = 1), 0 (z = 0, r = 0) or diag(1-c^2) U_c (z = 0,
r = 1). A gate is saturated by so large a number before its sigmoid that float64 gives 0 or 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.inspection.comparison import Comparison, compare
from training.inspection.traces import LayerSteps, RealSteps
from training.recurrence import LayerWeights, run_plain
from training.reference import Array, Layer, Network

Cell = Callable[[Tensor], Tensor]

# float64 rounding of sums over the hidden units, with room for weights of size 100.
_AUTOGRAD_TOLERANCE = 1e-11
# Central differences of this width err by its square times a third derivative, and by rounding
# divided by it: each about 1e-10.
_WIDTH = 1e-5
_DIFFERENCE_TOLERANCE = 1e-7
_SATURATED = 1e4


@dataclass(frozen=True)
class _Case:
    """Gates forced to 0 or 1, and what is left of the formula; None where they are left alone."""

    name: str
    formula: str
    z: float | None = None
    r: float | None = None


_CASES = (
    _Case("z = 1", "I", z=1.0),
    _Case("z = 0, r = 0", "0", z=0.0, r=0.0),
    _Case("z = 0, r = 1", "diag(1 - c^2) U_c", z=0.0, r=1.0),
    _Case("gates as they are", "the whole formula"),
)


def check_jacobians(network: Network, steps: RealSteps) -> tuple[Comparison, ...]:
    """Compares measured and stated Jacobians of every layer, in the three cases and as it is."""
    return tuple(
        comparison
        for number, (weights, layer) in enumerate(zip(network.layers, steps.layers, strict=True), 1)
        for case in _CASES
        for comparison in _check(number, case, weights, layer, network.reset_after, steps.places)
    )


def _check(
    number: int,
    case: _Case,
    weights: Layer,
    steps: LayerSteps,
    reset_after: bool,
    places: tuple[str, ...],
) -> list[Comparison]:
    cell = _cell(case, weights, steps, reset_after)
    state = torch.from_numpy(steps.before)
    stated = _stated(case, weights, steps, reset_after)
    name = f"layer {number}, {case.name}"
    return [
        compare(name, f"{way} against {case.formula}", measured, stated, tolerance, places)
        for way, measured, tolerance in (
            ("autograd", _by_autograd(cell, state), _AUTOGRAD_TOLERANCE),
            ("differences", _by_differences(cell, state), _DIFFERENCE_TOLERANCE),
        )
    ]


def _cell(case: _Case, weights: Layer, steps: LayerSteps, reset_after: bool) -> Cell:
    """The trained cell at the steps' inputs: states (steps, hidden) to states one step on."""
    x = steps.inputs
    projected = [
        _forced(case.z, x @ weights.w_z.T + weights.b_z),
        _forced(case.r, x @ weights.w_r.T + weights.b_r),
        x @ weights.w_c.T + weights.b_c,
    ]
    inputs = torch.from_numpy(np.concatenate(projected, axis=1))[None]
    cell = LayerWeights(
        # The input's product is already formed.
        inputs=torch.eye(inputs.shape[-1], dtype=inputs.dtype),
        gates=torch.from_numpy(np.concatenate([weights.u_z, weights.u_r])),
        candidate=torch.from_numpy(weights.u_c),
        bias=None,
        candidate_bias=torch.from_numpy(weights.d_c) if reset_after else None,
        reset_after=reset_after,
    )
    return lambda state: run_plain(inputs, state, cell)[0]


def _forced(gate: float | None, before_sigmoid: Array) -> Array:
    if gate is None:
        return before_sigmoid
    return np.full_like(before_sigmoid, _SATURATED if gate else -_SATURATED)


def _by_autograd(cell: Cell, state: Tensor) -> Array:
    """Row by row, (steps, hidden, hidden); a step's state reaches its own result only."""
    state = state.clone().requires_grad_()
    after = cell(state)
    rows = [
        torch.autograd.grad(unit.sum(), state, retain_graph=True)[0] for unit in after.unbind(dim=1)
    ]
    return np.asarray(torch.stack(rows, dim=1).numpy())


@torch.no_grad()
def _by_differences(cell: Cell, state: Tensor) -> Array:
    """Column by column, by central differences, (steps, hidden, hidden)."""
    shifts = _WIDTH * torch.eye(state.shape[1], dtype=state.dtype)
    columns = [(cell(state + shift) - cell(state - shift)) / (2 * _WIDTH) for shift in shifts]
    return np.asarray(torch.stack(columns, dim=2).numpy())


def _stated(case: _Case, weights: Layer, steps: LayerSteps, reset_after: bool) -> Array:
    """What the formula says, (steps, hidden, hidden)."""
    count, hidden = steps.before.shape
    if case.z == 1.0:
        return np.broadcast_to(np.eye(hidden), (count, hidden, hidden))
    if case.r == 0.0:
        return np.zeros((count, hidden, hidden))
    if case.r == 1.0:
        x, h = steps.inputs, steps.before
        c = np.tanh(x @ weights.w_c.T + h @ weights.u_c.T + weights.d_c + weights.b_c)
        return (1 - c**2)[:, :, None] * weights.u_c
    return whole_formula(weights, steps, reset_after)


def whole_formula(weights: Layer, steps: LayerSteps, reset_after: bool) -> Array:
    """dh_t/dh_{t-1} at the gates as they are, (steps, hidden, hidden)."""
    h, z, r, c = steps.before, steps.z, steps.r, steps.c
    through_update = ((h - c) * z * (1 - z))[:, :, None] * weights.u_z
    if reset_after:
        q = h @ weights.u_c.T + weights.d_c
        gate = (q * r * (1 - r))[:, :, None] * weights.u_r
        candidate = r[:, :, None] * weights.u_c + gate
    else:
        gate = (h * r * (1 - r))[:, :, None] * weights.u_r
        candidate = weights.u_c @ (_diagonals(r) + gate)
    through_candidate = ((1 - z) * (1 - c**2))[:, :, None] * candidate
    return np.asarray(_diagonals(z) + through_update + through_candidate)


def _diagonals(values: Array) -> Array:
    """diag(v) of each step; (steps, hidden) to (steps, hidden, hidden)."""
    return values[:, :, None] * np.eye(values.shape[1])
